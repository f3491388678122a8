select *
from (
    values
        ('pendingcontractsigning', 'pending'),
        ('pendingverificationinternal', 'pending'),
        ('pendingverification', 'pending'),
        ('needsadditionaldetails', 'pending'),
        ('moreinforequired', 'pending'),
        ('leads', 'pending'),
        ('collectingquotes', 'pending'),
        ('pendingquotebypartner', 'pending'),
        ('leadsquotegiven', 'pending'),
        ('pendingquoteselection', 'pending'),
        ('quotegivenbypartner', 'pending'),
        ('active', 'active'),
        ('paused', 'paused'),
        ('closed', 'closed'),
        ('merged', 'merged'),
        ('mergedfoldedintoanothercasereadonly', 'merged')
) as listed (lifecycle_key, lifecycle_group)
