select *
from (
    values
        ('paid', 'recovered'),
        ('partiallypaid', 'recovered'),
        ('caseneverstarted', 'rejected'),
        ('caseneverstartedinternal', 'rejected'),
        ('invalidcasedata', 'rejected'),
        ('debtorinsolventbankrupt', 'uncollectable'),
        ('debtorinsolvent', 'uncollectable'),
        ('debtoruntraceable', 'uncollectable'),
        ('disputedlegalactiondeclinedbyclient', 'client_decision'),
        ('withdrawnbyclient', 'client_decision'),
        ('settlementrejectedbyclient', 'client_decision'),
        ('unresponsiveclient', 'client_decision'),
        ('prelegalexhaustednopayment', 'exhausted'),
        ('statuteoflimitationsexpired', 'exhausted'),
        ('uneconomicaltopursue', 'exhausted'),
        ('noquotesreceived', 'system'),
        ('quotesexpirednotaccepted', 'system'),
        ('other', 'other'),
        -- Obsolete numeric codes that may survive on old cases.
        ('1', 'other'), ('2', 'other'), ('3', 'other'), ('4', 'other'), ('5', 'other')
) as listed (code_key, outcome)
