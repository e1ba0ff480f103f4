"""English words, the frequent ones first; `harness.texts.en` inflects them."""

from typing import Final

NOUNS: Final = """
time year people way day man thing woman life child world school state family student group country problem hand
part place case week company system program question work government number night point home water room mother area
money story fact month lot right study book eye job word business issue side kind head house service friend father
power hour game line end member law car city community name president team minute idea kid body information back
parent face level office door health person art war history party result change morning reason research girl guy
moment air teacher force education foot boy age policy music market sense nation plan college interest death
experience effect use class control field development role effort rate heart drug show leader light voice wife police
mind price report decision son view relationship town road arm difference value building action season society
tax director position player record paper space ground form event official matter center couple site project
activity star table need court oil situation cost industry figure street image phone data picture practice piece
land product doctor wall patient worker news test movie north love support technology step baby computer type
attention film tree source organization hair look window culture chance brother energy period course summer plant
opportunity term letter condition choice rule daughter south husband floor campaign material population call
economy hospital church risk fire future bank security agency farmer bridge engine river museum factory harbor
election minister scientist island kitchen village library storm garden clinic railway forest weather station
budget journey traveller passenger captain soldier painter novel newspaper customer supplier contract investor shareholder
committee laboratory experiment hypothesis measurement temperature satellite telescope mountain valley desert
archaeologist infrastructure entrepreneur mathematician thermometer sculptor orchestra pharmacist refinery glacier
lighthouse manuscript parliament cathedral neighbourhood shipyard biography greenhouse electrician fisherman
carpenter blacksmith envelope umbrella candle blanket mirror hammer ladder bicycle tractor airplane submarine tunnel
butterfly elephant squirrel pigeon tortoise strawberry mushroom sandwich breakfast volcano hurricane
turbine reservoir archipelago dictionary encyclopedia apprentice midwife beekeeper quarry vineyard symphony
"""

ADJECTIVES: Final = """
new good high old great big small large national young different long little important public bad real best
local social free late early hard strong possible whole major economic clear recent certain personal open red
difficult available likely short single medical current wrong private past foreign fine common poor natural significant
similar hot dead central happy serious ready simple left physical general environmental financial blue democratic
dark various entire close legal religious cold final main green nice huge popular traditional cultural wide quiet
expensive careful empty heavy modern distant gentle narrow fragile ancient wooden coastal northern generous stubborn
unexpected remarkable temporary industrial reluctant comfortable enormous invisible practical suspicious bitter transparent sophisticated muddy colourful restless elegant
"""

REGULAR: Final = """
want use ask need call try work seem help turn start show play move like live believe happen provide include
continue change watch follow stop create open walk offer remember love consider appear wait serve expect stay reach
remain suggest raise pass require report decide pull return explain hope develop carry receive agree support
remove describe produce cover visit discover improve publish measure repair deliver announce protect prepare reject
compare collect transport examine replace organize celebrate negotiate investigate recommend translate photograph
borrow whisper climb polish rescue decorate calculate
"""

IRREGULAR: Final = """
make/makes/made take/takes/took see/sees/saw know/knows/knew get/gets/got give/gives/gave find/finds/found
think/thinks/thought tell/tells/told become/becomes/became leave/leaves/left feel/feels/felt put/puts/put
bring/brings/brought keep/keeps/kept hold/holds/held write/writes/wrote hear/hears/heard let/lets/let mean/means/meant
set/sets/set meet/meets/met pay/pays/paid lose/loses/lost build/builds/built send/sends/sent buy/buys/bought
choose/chooses/chose sell/sells/sold understand/understands/understood draw/draws/drew break/breaks/broke
"""

ADVERBS: Final = """
also only even now then just still again often never always soon already today together finally quickly really usually
recently slowly almost simply certainly carefully probably suddenly quietly rarely later once perhaps nearly
eventually directly clearly gradually apparently deliberately occasionally
"""

NAMES: Final = """
John Mary London Anna Peter Paris Maria David China Sarah Europe Robert Berlin Laura Africa Michael Elena Boston
Daniel Helen Brazil Thomas Julia Canada Samuel Oxford Victor Nora Lisbon Clara Chicago Martin Irene Edinburgh Kowalski
Nakamura O'Brien Hernández Okafor Lindqvist Fitzgerald Adeyemi Montevideo Gdańsk Reykjavík Papadopoulos Nairobi
"""
