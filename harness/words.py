"""English words that most tokenizers spend one token on: openings of English prompts, and their last few tokens.

The shortest come last: a tokenizer of single characters needs them to reach every size. The order is part of the
seed's meaning: append, never sort.
"""

from typing import Final

ENGLISH = """
the and for are but not you all any can had her was one our out day get has him his how man new now old see two
way who boy did its let put say she too use air arm art ask bad bag bar bed big bit box bus buy car cat cup cut dog
dry due ear eat egg end eye far fit fly fun gas got hat hit hot ice job key kid law lay led leg lie lot low map
may mix nor oil own pay pen pop raw red run sad sea set sit six sky son sun tax tea ten top try van war win won yes
yet able also area army away baby back ball band bank base bear beat been bell best bill bird blue boat body bone
book born both bowl burn busy call calm came camp card care case cash cell chip city club coal coat code cold come
cook cool copy core corn cost crew crop dark data date dead deal dear debt deep desk diet does done door down draw
drew drop dust duty each earn east easy edge else even ever exam face fact fail fair fall farm fast fate fear
feed feel feet fell felt file fill film find fine fire firm fish five flat flow folk food foot form four free from
fuel full fund gain game gate gave gift girl give glad goal goes gold golf gone good gray grew grow hair half hall
hand hang hard harm hate have head hear heat held help here hero hide high hill hold hole holy home hope host hour
huge hunt idea inch into iron item join jump jury just keep kept kick kind king knew know lack lady laid lake
land lane last late lead leaf left less life lift like line link list live load loan lock long look lord lose loss
lost love luck made mail main make male many mark mass meal mean meat meet mile milk mind mine miss mode mood moon
more most move much must name near neck need news next nice nine none noon nose note once only onto open oral over
pace pack page paid pain pair palm park part pass past path peak pick pile pine pink pipe plan play plot plus poem
poet pole pool poor port post pour pull pure push race rail rain rank rare rate read real rear rely rent rest rice
rich ride ring rise risk road rock role roll roof room root rose rule rush safe said sail sale salt same sand save
seat seed seek seem seen self sell send sent ship shoe shop shot show shut sick side sign silk site size skin slip
slow snow soft soil sold some song soon sort soul soup spot star stay stem step stop such suit sure swim tail take
tale talk tall tank tape task taste team tell tend term test text than that them then they thin this thus tied time
tiny told tone tool tour town tree trip true tube turn twin type unit upon used user vary vast very view vote wage
wait wake walk wall want warm warn wash wave weak wear week well went were west what when whom wide wife wild will
wind wine wing wire wise wish with wood word work yard year your zero about above actor adult after again agent
agree ahead alarm album alive allow alone along alter among anger angle angry apart apple apply arena argue arise
aside asset avoid award aware badly basic basis beach began begin being below bench birth black blame blind block
blood board bound brain brand bread break brick brief bring broad brown build built buyer cable carry catch cause
chain chair chart chase cheap check chest chief child civil claim class clean clear climb clock close cloud coach
coast could count court cover craft crash cream crime cross crowd crown curve cycle daily dance death delay depth
dirty doubt dozen draft drama dream dress drink drive early earth eight elect empty enemy enjoy enter entry equal
error event every exact exist extra faith false fault favor field fifth fight final first fixed flash floor fluid
focus force forth forty found frame fresh front fruit fully funny giant given glass globe going grace grade grain
grand grant grass great green gross group grown guard guess guest guide habit happy heart heavy hence honor horse
hotel house human ideal image index inner input issue joint judge juice known label labor large later laugh layer
learn least leave legal level light limit local logic loose lower lucky lunch major maker march match maybe mayor
meant media metal might minor mixed model money month moral motor mount mouse mouth movie music never night noise
north novel nurse ocean offer often order other outer owner paint panel paper party peace phase phone photo piano
piece pilot place plain plane plant plate point pound power press price pride prime print prior prize proof proud
prove queen quick quiet quite radio raise range rapid ratio reach react ready refer right rival river rough round
route royal rural scale scene scope score sense serve seven shade shape share sharp sheet shelf shell shift shirt
shock short shown sight since skill sleep slide small smart smile smoke solid solve sorry sound south space speak
speed spend split sport staff stage stand start state steam steel stick still stock stone store storm story strip
study stuff style sugar super sweet table taken teach thank theme there thick thing think third those three throw
tight title today topic total touch tough tower track trade train treat trend trial trust truth twice under union
until upper urban usage usual value video visit vital voice waste watch water wheel where which while white whole
whose woman world worry worth would write wrong young youth accept across action active actual advice affect afford
almost always amount animal annual answer anyone appear around arrive artist assume attack author autumn battle
beauty become before behind belief belong better beyond border bottom branch bridge bright budget camera cancer
career castle center chance change charge choice choose church circle client coffee column common corner cotton
county couple course create credit crisis custom damage danger dealer decade decide defend define degree demand
depend design desire detail device dinner direct divide doctor dollar double driver during easily eating editor
effect effort eleven empire employ energy engine enough ensure entire equity escape estate ethnic exceed except
expect expert export extend extent fabric factor fairly family famous father figure finger finish flight flower
follow forest forget formal format former friend future garden gather gender global golden ground growth guitar
handle happen health height hidden honest impact import income indeed injury inside intend invest island itself
joined jungle junior kernel kitchen ladder language leader league length lesson letter listen little living locate
market master matter member memory mental method middle minute mirror mobile modern moment mostly mother motion
muscle museum mutual narrow nation native nature nearly nobody normal notice number object obtain office
online option origin output palace parent partly people period permit person phrase planet player please plenty
pocket police policy prefer pretty prince prison profit proper public purple pursue random rarely rather reason
recall recent record reduce reform region relate remain remote remove repair repeat report rescue result retail
return reveal reward rhythm sample saving school screen search season second secret sector secure select senior
series server settle severe shadow should silent silver simple single sister smooth social source speech spirit
spread spring square stable status steady strain stream street stress strike string strong studio summer supply
surely survey switch symbol system talent target temple tender theory thirty though thread threat throat ticket
timber tissue tongue toward travel treaty trying twelve twenty unable unique useful valley vision volume walked
wealth weekly weight window winner winter wonder worker writer yellow
"""

SHORT = "of to in is it on by we a o e i"
LEXICON: Final = tuple(dict.fromkeys([*ENGLISH.split(), *SHORT.split()]))
