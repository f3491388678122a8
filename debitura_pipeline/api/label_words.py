"""Recognise labels that consist of ordinary business words, and therefore cannot be a person's name.

A capital letter does not tell `Sold On` from `Anna Holm`. A word list does, at the price of withholding labels with words that
are not in it.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_LABEL = 60
MAX_WORDS = 10
MAX_DIGITS = 4  # more could be called

_WORDS = frozenset(
    """
    a abandon abort about absent accept access account accru action activ active actual ad add additional address adjust
    admin after again age agent agree agreement all allocat allow already alternative amend amicable amount an and annual
    answer any api app appeal applic apply appoint approv arbitrat archiv are arrang as ask assess assign at attach attempt
    attribut audit authoris authoriz auto automatic avail available await away awaiting
    b bad bailiff balance bank bankrupt bankruptcy base basic batch be bearer before begin being below between beta bis
    blank block blue bookkeep both bounc branch breach broken bulk business by
    calculat call cancel cannot capital card case category ceas challeng change channel charg check choose civil claim
    class clear client clos code collect collection collector comment commenc commercial commission company complain
    complet complian compos condition confirm conflict consent consolidat consumer contact contest continu contract
    control convert copy correct cost could count counter country court creat credit creditor criminal cross csv currency
    current custom customer cut cycle
    daily damag data date day deactivat dead deal debit debitura debt debtor deceas decid decision declin decreas default
    defect defend defer delay delet deliver demand deni deny department deposit detail detect determin different digital
    direct disabl disagree discard discharg disconnect discount discover dismiss disput dissolv distrain document does done
    double doubtful down draft drop due duplicat duration dut
    early edi edit effect either elapse electronic eligib else email empt enabl encod end enforc enforcement engag enough
    enrol entit entr equal err error escalat establish estimat europ evaluat event every evidence exact exceed except
    exception exchang exclud exclusiv execut exempt exhaust exist exit expect expir export express extend external extern
    extra
    fact fail failure false fast fax fee few field figur fil file filter final financ find first fix flag flat follow for
    forbidden force foreign form formal format forward found fraud fraudulent free from froz freez frozen full fund further
    future
    gateway general generat get give given global gone good gradual gross group guarantee
    half hand handl handed hard has have head hear hearing held high higher highest history hold home host hour hous how
    id identifi idempotenc idempotency identity idle if ignor immediat import in inactiv include income incomplete
    incorrect increas indetermin index indirect individual info inform information initial initiat input insolv insolvenc
    insolvency insolvent instal installment instalment instant instruct insufficient integrat intend interest interim
    intermediat intern internal interrupt invalid invoice invoic invoicing involv is issue iso item
    join judgement judgment judicial jurisdiction just
    keep key kind know known kyc
    label land language last late later latest launch law lead leads leav left legal less letter level levy liab
    licens lifecycle limit limitation link liquidat list litigat live load local lock log logic long loss lost low lower
    lowest
    mail main major malform manag mandat mandatory manual many map master match matur maximum mediat medium member
    merg message met method middle migrat min minimum minor mismatch miss mixed mobile mode model moderate modif modify
    monitor month monthly more most move multi multiple must
    name national need negative negotiat net network never new next no non none normal not note notice notif notification
    notify null number
    object obligat obsolet obtain occur of off offer office official offline ok old ombudsman on once one ongoing online
    only open operat opt option or order ordinar ordinary origin original other out outcome outstand over overdu overdue
    override own owner
    page paid paper parallel parent part partial partially partner pass past path pattern pause pay payable payer
    payment payout payoff penalt pend pending per percent perform period permanent permission permit phase phone pick
    piec pipeline place plan platform please poa point pool portal position positive possible post postal postpone
    potential power pre preferred prefix preliminar premium prepar present previous price primary prime prior priority
    private process processed product production profession profit program progress promis proof propos prosecut protect
    prov provid provision public publish purchas purg put
    quality quarantin quarter queri query queue quick quot quote
    random rate ratio reach react read ready real realis realiz reason recall receiv recipient recogni recognis recogniz
    record recover recovery recur red redirect reduc refer reference referral refund refus regist register registration
    regular reinstat reject relat releas reliev remain remainder remark remind reminder remit remov renew reopen repaid
    repay repeat replac replay reply report represent request requir rescind research reserv reset resolv resource respon
    respond response restart restor restrict result resum retail retri retry return reveal revers revert review revis
    revok right risk role roll root row rule run
    sale same sanction sandbox sav schedul scope score screen script search second secondary section secur segment seiz
    select self sell send sent separat sequence service session set settl settlement several severe share ship short
    should side sign signatur signature silent similar simpl single site skip slow small soft sold solution solv some
    source special specific split sql stag stage stale stand standard standing start stat state status statute statutory
    stay step stop storage store strateg street strong stuck sub subject submit subscri subscription subsidiar success
    successful suffix sum summary summon super supplier support surcharge suspect suspend sustain switch sync system
    tab table tag take taken target tax team technical temp temporar temporary tenant term terminat test text than the
    then there third this threshold tier time timeout title to today toggle token tolera too tool top total trace track
    trade transact transaction transfer transit translat treat trial tribunal trigger true trust try turn two type
    unable unauthori unauthoris unauthoriz unavailable uncertain unclaim unclassified unclear uncollectable uncollectible
    uncontest under undeliver undisclosed undisput undo uneconomical unexpected uniform unique unit unknown unless unlink
    unlock unpaid unproces unprocessable unresolv unresponsive unsatisf unsett unsign unsuccessful unsupported until
    untraceable unus unverif unverified up updat update upgrad upload upper urgent url us usag use used user utc
    valid validat validation value variable vat vendor verif verifi verification verified verify version very via view
    violat violation visible void volunt voluntary
    wait waiv wallet warn warning was watch way web webhook week weekly weight were what when where whether whole
    why wire wish with withdraw withdrawal withdrawn withheld within without word work would writ write written wrong
    year yearly yellow yes yet zero zone
    another attorney billed billing brand bronze commit eligibility facility gold hibernat liability parked platinum policy pursue
    purge reliability repaid security silver sleep something study thing transferred trigger unverified validity verify uncollect
    pilot legacy preferr referr occurr submitt permitt cancell withh defer visibility priority majority authority
    fee usd eur gbp finish revenue zip sort size onboard percentage earn earnings engagement recognition city paus issu
    valu black approved resend resent reassign rework reroute suspicious vulnerable hardship bereavement dormant
    """.split()  # noqa: SIM905
)
_SUFFIXES = ("", "s", "es", "ed", "e", "ing", "ion", "ation", "ment", "ly", "al", "able", "ible", "ied")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_OTHER = re.compile(r"[\s_./:()&,'’–-]*")


@lru_cache(maxsize=4_096)
def is_label(text: str) -> bool:
    """Whether a text is short and all its words are ordinary ones: `Escalated to ombudsman`, `WrittenOff`, `not_required`."""
    if not text or len(text) > MAX_LABEL or not text.isprintable():
        return False
    words = _WORD.findall(text)
    is_plain = _OTHER.fullmatch(_WORD.sub("", text)) is not None and any(map(str.isalpha, words))
    return (
        is_plain
        and sum(map(str.isdigit, text)) <= MAX_DIGITS
        and len(words) <= MAX_WORDS
        and all(map(_is_known, words))
    )


def _is_known(word: str) -> bool:
    word = word.lower()
    return word.isdigit() or any(word.removesuffix(end) in _WORDS for end in _SUFFIXES if word.endswith(end))
