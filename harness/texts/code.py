"""Code: small pieces that look like Python, of names that programs use. It is to be tokenized, not run."""

import random
from typing import Final

from harness.texts.grammar import Grammar, unlike

NOUNS: Final = """
value data name key index result item node list path file line text size count user type id config request response
error message state time event table row column field object model client server session token buffer cache queue
stack tree graph edge vertex root parent child leaf head tail start end offset length width height depth level limit
total sum average maximum minimum rate ratio weight score rank batch chunk block page record entry element array
vector matrix tensor shape axis dimension layer channel kernel filter gradient loss optimizer epoch sample label target
source input output stream reader writer parser lexer grammar rule pattern match group query filter_by order cursor
connection socket port host address header body payload packet frame protocol handler callback listener signal task
worker thread process pool lock mutex semaphore timer timeout interval deadline clock date year month day hour minute
second timestamp version schema migration database transaction commit branch tag remote repository package module
function method argument parameter option flag variable constant expression statement scope context environment
setting profile account password role permission policy resource service endpoint route router controller view template
widget button window dialog menu canvas image pixel color font style theme layout margin padding border point
position velocity distance angle radius circle rectangle polygon line_segment camera scene texture shader mesh player
enemy inventory price amount currency invoice payment customer product cart address_book order_line discount stock
warehouse shipment ticket manager builder factory adapter wrapper proxy observer visitor iterator generator decorator
protocol_version plugin hook extension registry catalog manifest bundle archive snapshot backup replica shard partition
cluster region zone tenant quota budget limit_rate usage capacity throughput latency bandwidth retry_count backoff
attempt outcome status state_machine transition trigger condition predicate operand operator literal symbol identifier
namespace import_path alias macro annotation decorator_name docstring encoding_name delimiter separator prefix suffix
fragment segment_id substring character byte bit word sentence paragraph document corpus vocabulary embedding feature
dataset subset fold iteration step learning momentum decay batch_size checkpoint artifact experiment trial candidate
baseline reference estimate_error residual variance deviation median quantile bucket bin sample_rate window_size
notification subscription topic publisher consumer producer broker message_id envelope attachment mailbox thread_id
avatar badge banner panel sidebar toolbar tooltip dropdown checkbox slider spinner carousel modal overlay animation
transform viewport sprite tile tileset sound volume track playlist recording device sensor actuator battery voltage
temperature pressure humidity altitude latitude longitude waypoint trajectory vehicle driver passenger booking
reservation hotel flight airport departure arrival itinerary luggage ticket_number employee salary department
contract vendor supplier purchase refund receipt ledger balance transfer interest loan mortgage portfolio dividend
ticket comment author title summary description keyword category tag_name language locale encoding
charset digest hash checksum signature certificate secret salt nonce cipher plaintext metric counter gauge histogram
percentile threshold alert log logger trace span report chart series legend unit test fixture mock assertion coverage
""".replace("line_segment", "segment")

VERBS: Final = """
get set add remove update create delete find load save read write open close start stop run execute build make parse
format render draw print send receive fetch push pull insert append extend pop sort filter map reduce merge split join
encode decode compress encrypt validate check verify compare match search replace convert transform normalize compute
calculate estimate predict train fit evaluate sample shuffle clone copy move rename resolve register subscribe notify
dispatch schedule retry cancel flush reset clear initialize configure connect disconnect bind listen accept authenticate
authorize log record measure collect aggregate group count iterate visit traverse walk expand collapse allocate release
acquire lock unlock wait resume import export upload download install deploy monitor migrate commit rollback serialize
"""

ADJECTIVES: Final = """
new old first last next previous current default empty valid invalid active hidden visible public private local global
remote temporary internal external raw parsed cached pending failed ready dirty clean shared unique sorted random
primary secondary optional required maximum_allowed minimal strict lazy eager nested flat static dynamic virtual
abstract concrete safe unsafe sync async partial complete relative absolute left right upper lower inner outer
"""

_SHAPES: Final = {
    "sentence": (
        "def {verb}_{noun}({noun}, {noun}):\n    {noun} = {noun}.{verb}({noun})\n    return {noun}",
        "def {verb}({noun}, {adjective}=None):\n    if {noun}:\n        {adjective} = {noun}.{verb}()\n    return {noun}",
        "class {Noun}:\n    def __init__(self, {noun}, {noun}={number}):\n        self._{noun} = {noun}",
        "for {noun} in {verb}_{noun}({noun}):\n    if {noun}.{noun} > {number}:\n        break",
        "for index, {noun} in enumerate(self.{noun}):\n    {noun}[index] = {number} * {noun}",
        "with open({noun}_path) as {noun}:\n    {noun} = [{verb}(line) for line in {noun}]\n    return {noun}",
        "try:\n    {noun} = {verb}_{noun}(self.{noun})\nexcept {Error} as error:\n    raise {Error}({noun}) from error",
        "if not {noun}:\n    {verb}_{adjective}_{noun}({noun}, self.{noun})\nelse:\n    self.{noun} = {noun}",
        "while {noun} < len({noun}):\n    self.{verb}({noun}[{noun}])\n    {noun} += {noun}",
        "{noun} = {{'{noun}': {number}, '{noun}': {noun}}}\n# {verb} the {adjective} {noun} before the {noun}",
        "import {noun}\nfrom {noun}.{noun} import {verb}_{noun}, {Noun}",
        "@{noun}.{verb}\nasync def {verb}_{noun}(self) -> {Noun}:\n    {noun} = await {verb}({noun})\n    return {noun}",
        "{noun} = sorted({noun}, key=lambda {noun}: {noun}.{noun})\nassert {verb}({noun}, {number}) == {noun}",
        "{noun}, {noun} = {verb}_{noun}(), [{number}, {number}, {number}]\nself.{verb}({noun})\ndel {noun}",
    ),
    "Error": ("ValueError", "KeyError", "TypeError", "RuntimeError", "OSError"),
    "number": (
        "0",
        "1",
        "2",
        "10",
        "100",
        "16",
        "3",
        "-1",
        "0.5",
        "1024",
        "42",
        "255",
        "1e-6",
        "None",
        "True",
    ),
}

GRAMMAR: Final = Grammar(
    _SHAPES,
    {
        "noun": unlike(NOUNS.split()),
        "verb": VERBS.split(),
        "adjective": ADJECTIVES.split(),
        "Noun": tuple(dict.fromkeys("".join(map(str.capitalize, noun.split("_"))) for noun in NOUNS.split())),
    },
)
LEXICON: Final = (*unlike(NOUNS.split(), VERBS.split(), ADJECTIVES.split()), *["i", "x", "y", "n"])


def write(rng: random.Random) -> str:
    """One piece of code, with the lines between it and the one before at its beginning."""
    return "\n\n" + GRAMMAR.write(rng).replace("{{", "{").replace("}}", "}")
