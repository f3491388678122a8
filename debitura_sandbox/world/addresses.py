"""Invented geography: debtor countries with currency, towns, name lists and company forms, and their collection partners."""

from __future__ import annotations

from typing import NamedTuple


class Country(NamedTuple):
    """A debtor country. `weight` is its share of clients and cases; `id` is what `CountryIds` filters by."""

    id: int
    alpha2: str
    name: str
    currency: str
    weight: int
    towns: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]
    forms: tuple[str, ...]


def _country(id_: int, alpha2: str, name: str, currency: str, weight: int, *lists: str) -> Country:
    towns, first, last, forms = (tuple(words.split(", ")) for words in lists)
    return Country(id_, alpha2, name, currency, weight, towns, first, last, forms)


COUNTRIES = (
    _country(1, "DK", "Denmark", "DKK", 20, "Aarhus, Odense, Køge, Sønderborg, Næstved",
             "Søren, Mette, Jørgen, Kirsten, Bjørn, Åse, Frederik, Ingrid, Anders, Signe",
             "Østergaard, Kjærgaard, Sørensen, Lundgaard, Vestergaard, Møller, Bækgaard, Holm Nielsen, Skovgaard, Thygesen",
             "ApS, A/S, I/S, K/S"),
    _country(2, "SE", "Sweden", "SEK", 10, "Göteborg, Malmö, Umeå, Linköping, Västerås",
             "Åsa, Björn, Örjan, Linnéa, Göran, Annika, Håkan, Ebba, Torsten, Elsa",
             "Åkerström, Sjögren, Lindqvist, Bergström, Nyström, Hägglund, Öberg Falk, Wallander, Söderqvist, Ekdahl",
             "AB, HB, KB, AB (publ)"),
    _country(3, "NO", "Norway", "NOK", 6, "Bergen, Tromsø, Ålesund, Bodø, Hamar",
             "Øyvind, Kari, Håvard, Solveig, Tor-Arne, Åshild, Eirik, Ragnhild, Sindre, Maren",
             "Bjørnstad, Haugen Lie, Strømmen, Nordvåg, Kvæven, Sæther, Fjeldstad, Grønli, Ødegård, Brekke Moe",
             "AS, ASA, ANS, ENK"),
    _country(4, "DE", "Germany", "EUR", 18, "München, Köln, Düsseldorf, Lübeck, Nürnberg",
             "Jürgen, Käthe, Björn-Erik, Ursula, Günther, Anneliese, Matthias, Sabine, Rüdiger, Bärbel",
             "Müller-Lüdenscheid, Schröder, Großmann, Kühnel, Weißhaupt, Brückner, Jäger-Holz, Fröhlich, Böttcher, Löwenthal",
             "GmbH, AG, GmbH & Co. KG, e.K."),
    _country(5, "FR", "France", "EUR", 10, "Orléans, Nîmes, Besançon, Saint-Étienne, Angoulême",
             "François, Hélène, Benoît, Zoé-Marie, Jérôme, Aurélie, Gaël, Cécile, Loïc, Anaïs",
             "Lefèvre, d'Aubigné, Château-Roux, Béranger, Lacroix-Hébert, Nuñès, Garçonnet, Maître, L'Hôpital, Bézier",
             "SARL, SAS, SA, EURL"),
    _country(6, "ES", "Spain", "EUR", 7, "Málaga, Córdoba, A Coruña, León, Logroño",
             "José María, Begoña, Iñigo, Sofía, Ramón, Lucía, Álvaro, Nuria, Joaquín, Inés",
             "Muñoz Ibáñez, García Núñez, Peñalver, Castaño Ruiz, Gómez-Acebo, Zúñiga, Ordóñez, Vázquez Rey, Echeverría, Güell",
             "S.L., S.A., S.L.U., S.C."),
    _country(7, "IT", "Italy", "EUR", 6, "Forlì, L'Aquila, Cantù, Modena, Trieste",
             "Niccolò, Chiara, Giosuè, Lucia, Raffaele, Ilaria, Matteo, Noemi, Tommaso, Giulia",
             "D'Angelo, Esposito, Nicolò-Bruni, Lombardi, Cafèri, Sanfilippo, De Santis, Pellegrini, Mannarà, Dell'Acqua",
             "S.r.l., S.p.A., S.n.c., S.a.s."),
    _country(8, "PL", "Poland", "PLN", 6, "Łódź, Kraków, Gdańsk, Poznań, Wrocław",
             "Łukasz, Małgorzata, Zbigniew, Agnieszka, Wojciech, Żaneta, Stanisław, Bożena, Michał, Śliwia",
             "Wiśniewski, Dąbrowska, Zieliński, Szymańska, Woźniak, Jabłoński, Krzyżanowska, Pawłowski, Łęcka, Źrebiec",
             "Sp. z o.o., S.A., Sp.k., Sp.j."),
    _country(9, "GB", "United Kingdom", "GBP", 8, "Leeds, Bristol, Cardiff, Aberdeen, Norwich",
             "Alastair, Siobhán, Gareth, Philippa, Rhys, Imogen, Callum, Beatrix, Desmond, Harriet",
             'O\'Sullivan-Hart, Featherstone, Blackwood, Pemberton, MacAllister, Ashdown, Thornbury, Kingsley "Kit" Rowe',
             "Ltd, PLC, LLP, & Sons Ltd"),
    _country(10, "US", "United States", "USD", 8, "Portland, Baton Rouge, Albuquerque, Duluth, Savannah",
             "Savannah, Tyrone, Maribel, Duane, Kimberly, Hector, Roxanne, Cody, Latisha, Wendell",
             "Kowalczyk, Abernathy, Delacroix, Hutchinson, Villanueva, Lindstrom, Okonkwo, Ferreira, Stottlemyer, Zimmermann",
             "Inc., LLC, Corp., L.P."),
    _country(11, "NL", "Netherlands", "EUR", 5, "Utrecht, Groningen, Zwolle, Breda, Enschede",
             "Joost, Annelies, Daniëlle, Maarten, Loïs, Sjoerd, Femke, Wouter, Marijke, Thijs",
             "van den Heuvel, Hoogeveen, de Graaf-Smit, Dijkstra, van Oranje, Koopmans, ter Haar, Wijnstra, Schrijver, van 't Hoff",
             "B.V., N.V., V.O.F., C.V."),
    _country(12, "CH", "Switzerland", "CHF", 3, "Zürich, Genève, Luzern, Winterthur, Neuchâtel",
             "Urs-Peter, Vreni, Beat, Rösli, Reto, Ladina, Köbi, Flurina, Ueli, Corsin",
             "Rüegger, Zumbrunn, Bächtold, Von Känel, Ammann-Züst, Grünenfelder, Schärer, Brönnimann, Caflisch, Hürlimann",
             "AG, GmbH, Sàrl, SA"),
    _country(13, "GR", "Greece", "EUR", 2, "Πάτρα, Λάρισα, Βόλος, Χανιά, Ιωάννινα",
             "Γιώργος, Ελένη, Δημήτρης, Κατερίνα, Νίκος, Σοφία, Θανάσης, Ιωάννα, Παύλος, Άννα",
             "Παπαδόπουλος, Καραγιάννης, Οικονόμου, Αγγελοπούλου, Βασιλείου, Δημητρίου, Μακρής, Σταθόπουλος, Χατζή, Λαμπράκη",
             "Α.Ε., Ε.Π.Ε., Ο.Ε., Ι.Κ.Ε."),
    _country(14, "JP", "Japan", "JPY", 2, "横浜市, 札幌市, 神戸市, 仙台市, 金沢市",
             "健太郎, 陽子さん, 大輔, 美咲子, 翔太郎, 由美子, 浩一郎, 直美江, 龍之介, 千代子",
             "佐々木原, 長谷川田, 小笠原氏, 五十嵐村, 勅使河原, 宇都宮家, 東海林坊, 大久保寺, 西園寺門, 久我山辺",
             "株式会社, 合同会社, 有限会社, 合資会社"),
)  # fmt: skip

TRADES = ("Byg", "Logistik", "Design", "Retail", "Motors", "Foods", "Textil", "Office")
BRANDS = (
    "Nordlys Handel", "Brightwater", "Kobalt Systems", "Fjordline Supply", "Quartz & Pine", "Solvang Energi", "Petite Fabrique",
    "Casa Lumbre", "Vela Marine", "Zephyr Tools", "Ælfheim Print", "Grøn Kurv", "Oakfield Leasing", "Tritonwerk", "Blauwe Reiger",
    "Źródło Water", "Halcyon Medical", "Miel \"Dorée\"", "Rakuen Trading", "Åben Kontor", "Pixel & Sønner", "Terraform Agri",
    "Ivory Lane", "Kestrel Freight", "Lagom Living", "Monte Verde", "Ωmega Parts", "Saffron Travel", "Umbra Lighting",
    "Willowbrook",
)  # fmt: skip


class Partner(NamedTuple):
    """A collection partner. `share_pct` is Debitura's share of its fee: 40, 20, or 0 in the legal network."""

    name: str
    country: int
    share_pct: int
    fee_pct: int


PARTNERS = tuple(
    Partner(f"{stem} {country.name}", index, share, fee)
    for index, country in enumerate(COUNTRIES)
    for stem, share, fee in (
        ("Inkasso Allianz", 40, 15),
        ("Juris & Partnere", 20, 12),
        ("Legal Network Chambers", 0, 18),
    )
)
CURRENCIES = ("USD", "EUR", "GBP", "DKK", "SEK", "NOK", "PLN", "CHF", "JPY")
USD_RATES = (1_000_000, 1_085_000, 1_270_000, 145_400, 95_800, 93_700, 251_000, 1_128_000, 6_700)  # micro-USD per unit
