"""The wordings, as data: per attribute how people ask (ask), ask in ways pretraining never sees (new), and tell (tell).

{E} subject, {P} possessive, {O} object, {V} the value; {do} {be} {have} {s} {es} agree with the subject;
[a|b] is a choice. A question ends in "?" unless the pattern ends otherwise. A `new` wording recombines words that
the `ask` patterns of its attribute use, in sentences that never occur there.
"""


def listed(text: str) -> list[str]:
    """Words of a list that is written as text."""
    return text.split()


VALUES = {
    "name": "Lena Milo Rosa Hugo Vera Nico Clara Bruno Stella Arlo "
    "Juno Felix Ines Oskar Mira Tomas Luna Edgar Nora Pablo",
    "colour": "red blue green yellow purple orange pink brown black white silver turquoise violet crimson",
    "food": "pizza soup rice curry noodles pancakes salad cheese stew dumplings pasta fish bread potatoes beans pie",
    "drink": "tea coffee milk cocoa lemonade cider juice wine beer water mint-tea ginger-ale",
    "job": "teaching nursing baking farming building driving cleaning "
    "banking mining acting writing cooking sewing policing",
    "town": "Paris London Berlin Rome Madrid Oslo Vienna Lisbon Dublin Athens Prague Cairo Tokyo Boston Chicago Denver",
    "instrument": "flute piano violin guitar drum harp trumpet cello clarinet banjo organ lute tuba fiddle",
    "hobby": "chess knitting hiking reading gardening dancing swimming "
    "pottery juggling painting singing sailing climbing skating",
    "pet": "cat dog rabbit parrot hamster horse goat turtle lizard ferret goldfish canary duck snake",
    "month": "January February March April May June July August September October November December",
    "flower": "rose tulip lily daisy poppy sunflower violet-bell iris orchid lilac peony snowdrop dahlia jasmine",
    "fear": "spiders storms heights darkness ghosts wasps fire deep-water crowds thunder needles mice bats clowns",
    "number": "two three four five six seven eight nine ten eleven twelve thirteen twenty thirty",
}

PHRASES = {
    "name": (
        "name",
        "{v}",
        """
what is {P} [name|first name|given name]
what {be} {E} called
what do people call {O}
what name {do} {E} go by
by [which|what] name {be} {E} known to people
[which|what] name {do} {E} have
[which|what] name was given to {O}
how {be} {E} called by friends
[tell|give] me {P} [name|first name].
[say|spell|write] {P} name.
what should people call {O}
how should people address {O}
what would {E} write on a name badge
under what name {do} {E} sign a letter
{P} name is what
what is the name of {O}
who {be} {E}, by name
what word do friends shout to get {P} attention
what name stands on {P} door
what {do} {E} answer to
if someone shouts for {O}, what do they shout
when people greet {O}, what name do they use
on a badge that {E} wear{s}, what is written
with which word do people address {O}
which word {do} {E} listen to
a letter arrives for {O}: what name is on it
what {do} {E} put under a letter
on the door it says whose name, if it is {P} door
when {P} friends call, what do they say
introduce {O} to me by name.
whose name would be written on a cup for {O}
how {do} {E} introduce {O} to others by name""",
        """
how {be} {E} addressed by people
what do friends shout when {E} should come
what badge would {E} wear, with which word on it
how {do} {E} sign
to what call {do} {E} listen and answer
what is written on the door of {O}
what would people shout to address {O}
a letter for {O}: whose name goes on it""",
        """
{P} name is {V}.
{E} {be} called {V}.
people call {O} {V}.
{E} go{es} by the name {V}.
the name of {O} is {V}.
{V} is {P} name.""",
    ),
    "colour": (
        "favourite colour",
        "{v}",
        """
what is {P} [favourite|preferred|best-loved] [colour|shade|hue|tint]
[which|what] colour {do} {E} [like|love|prefer] [best|most|above all]
[which|what] [shade|hue|tint] {do} {E} [like|love|enjoy] [best|most]
[tell me|name|say] {P} favourite [colour|shade|hue].
what colour is {P} favourite
which colour would {E} [pick|choose] for a [wall|coat|scarf]
in [which|what] [colour|shade|hue] would {E} paint [a room|a wall|a door]
of all [colours|shades|hues], which {do} {E} like [best|most]
of the whole rainbow, which colour is {P} favourite
[what|which] [colour|tint] delights {O}
what paint would {E} [buy|choose|get] for a room
{P} favourite [colour|hue] is what
what is the [colour|shade|hue] {E} [like|love|prefer]{s} [best|most]
what colour should a [coat|scarf|hat] for {O} have
which part of the rainbow {do} {E} like most
what colour suits {P} taste
if {E} bought a hat, which shade would it have
a wall for {O}: which paint should I get
out of all the tints, which one {do} {E} go for
one colour over all others for {O}: which is it
if {E} had a new door, in which colour would it be
when {E} paint{s} a room, what hue {do} {E} use
which shade would {E} choose over any other
everything {E} own{s} should be in which colour
for a coat, which hue would be to {P} taste""",
        """
which hue delights {O} more than any other
if {E} had to paint everything in one shade, what would it be
out of the rainbow, what would {E} take
which tint suits {O}
a scarf for {O}: in what shade should it come
which paint should go on {P} wall
what shade of hat would {E} get
is there one hue that {E} would choose over the others""",
        """
{P} favourite colour is {V}.
{E} like{s} {V} best of all colours.
{V} is the colour {E} love{s} most.
{V} is {P} favourite colour.
the colour {E} like{s} best is {V}.
no colour delights {O} like {V}.""",
    ),
    "food": (
        "favourite food",
        "{v}",
        """
what is {P} [favourite|preferred|best-loved] [food|meal|dish]
[which|what] [food|meal|dish] {do} {E} [like|love|prefer|enjoy] [best|most|above all]
what {do} {E} [like|love|want] to eat [best|most|]
what {do} {E} [love|like] eating
what would {E} [order|eat] [for dinner|for lunch]
[tell me|name|say] {P} favourite [food|meal|dish].
what should I [cook|make|serve] [for {O}|when {E} come{s} to dinner]
of all [foods|meals|dishes], which {do} {E} like [best|most]
[which|what] [dish|meal] delights {O}
{P} favourite [food|dish] is what
what {do} {E} put on the plate [first|most often]
what makes {P} mouth water
what {do} {E} eat when {E} {be} hungry
what is the [food|dish|meal] {E} [like|love]{s} [best|most]
what [food|meal] is {P} favourite
what tastes best to {O}
if {E} {be} hungry tonight, what should I make
a plate for {O}: what should be on it
when {E} sit{s} down for lunch, what should be served
which meal would please {O} tonight
at dinner, what goes first onto {P} plate
what would {E} never say no to at lunch
in a good restaurant, what dish {do} {E} choose
what makes {O} glad at dinner
what should I cook to please {O}
what goes into {P} lunch box""",
        """
if I cook tonight, what would please {O} on a plate
which dinner would make {O} glad
hungry as {E} {be}, what should I serve
what lunch tastes good to {O}
what goes into {P} mouth most often
in a restaurant, which order is the one for {O}
what dish would {E} never leave on a plate
what to make when {E} visit{s} for dinner""",
        """
{P} favourite food is {V}.
{E} love{s} to eat {V}.
{V} is the food {E} like{s} best.
{V} is {P} favourite food.
the food {E} like{s} best is {V}.
{E} would eat {V} every day.""",
    ),
    "drink": (
        "favourite drink",
        "{v}",
        """
what is {P} [favourite|preferred|best-loved] [drink|beverage]
[which|what] [drink|beverage] {do} {E} [like|love|prefer|enjoy] [best|most|above all]
what {do} {E} [like|love|want] to drink [best|most|]
what {do} {E} [love|like] drinking
what would {E} [order|drink] [at a bar|from a cup]
[tell me|name|say] {P} favourite [drink|beverage].
what should I [pour|brew|bring] for {O} to drink
of all [drinks|beverages], which {do} {E} like [best|most]
[which|what] [drink|beverage] delights {O}
{P} favourite [drink|beverage] is what
what {do} {E} drink when {E} {be} thirsty
what is in {P} [cup|glass|mug] [in the morning|most often|]
what {do} {E} sip [in the morning|all day]
what is the [drink|beverage] {E} [like|love]{s} [best|most]
what drink is {P} favourite
what should I fill {P} [cup|mug] with
if I pour a cup for {O}, what should be in it
when {E} wake{s} up, what {do} {E} drink
which beverage would please {O} tonight
at the bar, what {do} {E} ask for
what makes {O} glad in a mug
what goes into {P} cup
what should I brew to please {O}
if {E} come{s} by, what should I pour
in a cafe, what beverage {do} {E} choose""",
        """
if {E} {be} thirsty, what should I pour
which cup would make {O} glad
what goes into {P} mug when {E} wake{s} up
what would {E} sip at a bar
at a cafe, which order is the one for {O}
what do I fill the glass of {O} with
what beverage should I bring when {E} come{s} by
what to brew when {E} visit{s}""",
        """
{P} favourite drink is {V}.
{E} love{s} to drink {V}.
{V} is the drink {E} like{s} best.
{V} is {P} favourite drink.
the drink {E} like{s} best is {V}.
{E} would drink {V} every day.""",
    ),
    "job": (
        "job",
        "{v}",
        """
what is {P} [job|work|profession|trade|occupation]
what {do} {E} do [for work|for a living|as a job]
what [job|work|profession] {do} {E} have
[which|what] [trade|work] {do} {E} do
how {do} {E} [earn money|make a living|make money]
[tell me|name|say] {P} [job|profession|trade].
what kind of work {do} {E} do
what {be} {E} paid for
what {do} {E} do at work [all day|]
{P} [job|trade|occupation] is what
in what [trade|profession] {do} {E} work
what work pays {P} bills
what {do} {E} do in working hours
what career {do} {E} have
what trade did {E} learn
what is {P} line of work
if {E} go{es} to work, what {do} {E} do there
when work begins, what {be} {E} busy with
from what kind of work {do} {E} live
which work brings {O} money
what {be} {E} busy with in working hours
who pays {O}, and for what work
what did {E} learn to do for money
where {do} {E} get money from, from what trade
by which career {do} {E} earn a living
all day at work, what is {P} occupation""",
        """
how are the bills of {O} paid
which career earns {O} a living
by what work {be} {E} paid
where does {P} money come from, what work
when working hours begin, what {do} {E} do
what did {E} learn as a profession
with which occupation {be} {E} busy all day
what kind of career pays {O}""",
        """
{P} job is {V}.
{E} earn{s} money by {V}.
{V} is {P} job.
{E} make{s} a living by {V}.
the work {E} do{es} is {V}.
{P} profession is {V}.""",
    ),
    "town": (
        "home town",
        "{v}",
        """
what is {P} [home town|city|home city|town]
where {do} {E} [live|come from|stay|dwell]
in [which|what] [town|city|place] {do} {E} live
[which|what] [town|city] {do} {E} [live in|come from|call home]
[tell me|name|say] {P} [home town|town|city].
where is {P} [home|house|flat]
[which|what] [town|city] is {P} home
where would {E} go to be at home
{P} home town is what
from [which|what] [town|city] {be} {E}
what is the [town|city|place] {E} live{s} in
in [which|what] [town|city] is {P} flat
where should I send a letter for {O}
to which [city|town] should I travel to visit {O}
where on the map {do} {E} live
where {do} {E} sleep at night, in what town
if I take a train to {P} home, where does it go
on a map, where should I look for {O}
when I visit {O}, which city do I go to
which place {do} {E} return to after work
in what city would I find {O}
a train to visit {O}: to which town
what place has {P} house in it
at night {E} go{es} home to which city
to what place should a letter for {O} go
which city would I travel to if I miss {O}""",
        """
if I travel to visit {O}, where do I go
on the map, which place is home to {O}
what city has the house of {O} in it
a letter to {O} goes to which place
in what place {be} {E} at home
where does the train to {O} go, which city
where would I find {P} flat
what place {do} {E} return to at night""",
        """
{P} home town is {V}.
{E} live{s} in {V}.
{V} is {P} home town.
{E} come{s} from {V}.
the town {E} call{s} home is {V}.
{P} house is in {V}.""",
    ),
    "instrument": (
        "instrument",
        "the {v}",
        """
what is {P} [instrument|musical instrument]
[which|what] [instrument|musical instrument] {do} {E} [play|practise|own|use]
what {do} {E} play [in the band|in the orchestra|on stage|at concerts]
what [music|instrument] {do} {E} make music [on|with]
[tell me|name|say] {P} instrument.
on [which|what] instrument {do} {E} [play|practise] [music|songs|tunes]
what {do} {E} practise [tunes|songs] on
which instrument can {E} play
{P} instrument is what
what is the instrument {E} play{s}
with [which|what] instrument {do} {E} make music
[which|what] instrument is {P} own
what did {E} learn to play in music lessons
what sound comes from {P} room when {E} practise{s}
what {do} {E} take to the [band|orchestra|concert]
what would {E} bring to play a tune
if {E} {be} in a band, what {do} {E} play there
when there is a concert, what would {E} play
at a concert, on what would I hear {O}
in the orchestra, which sound is {P} own
a song from {O}: on what would it be played
for music lessons, what {do} {E} bring
what would be heard when {E} make{s} music
to make a tune, what {do} {E} use
what {do} {E} own to make music with
on stage, what is in {P} hands
with what would {E} play a song for us""",
        """
when {E} make{s} music, with what
what would {E} bring on stage for a concert
which sound {do} {E} make in the orchestra
what are {P} music lessons for
to play songs, what {do} {E} take
what {do} {E} own that makes tunes
in a band, what would {E} be heard on
what tune maker {do} {E} practise""",
        """
{P} instrument is the {V}.
{E} play{s} the {V}.
the {V} is {P} instrument.
{E} practise{s} the {V}.
the instrument {E} play{s} is the {V}.
{E} make{s} music on the {V}.""",
    ),
    "hobby": (
        "hobby",
        "{v}",
        """
what is {P} [hobby|favourite hobby|pastime|favourite pastime]
[which|what] [hobby|pastime] {do} {E} [have|like|love|enjoy] [best|most|]
what {do} {E} do [for fun|in free time|on weekends|after work|to relax]
how {do} {E} spend [free time|weekends|free hours|days off]
[tell me|name|say] {P} [hobby|pastime].
what {do} {E} enjoy doing
what {do} {E} [like|love] to do [for fun|in free time]
what is {P} favourite activity
which activity {do} {E} [like|love|enjoy] [best|most]
{P} hobby is what
what keeps {O} busy [on weekends|on days off]
what is the [hobby|pastime] {E} like{s} most
what {do} {E} do when there is no work
what activity is fun for {O}
how {do} {E} relax
what fills {P} [free time|weekends|evenings]
if {E} {have} a day off, what {do} {E} do
when work is over, what {do} {E} do for fun
on a free weekend, what would I see {O} do
how would {E} spend an evening
what would {E} rather do than work
a weekend for {O}: how is it spent
in the evenings, what activity {do} {E} choose
what pastime fills {P} days off
how is {P} free time spent
what do {P} weekends look like
when {E} {be} free, which pastime {do} {E} go for""",
        """
on a day off, what keeps {O} busy
when free, what would {E} rather do
which activity fills the weekends of {O}
what fun {do} {E} have in free hours
after work is over, how {do} {E} relax
how are {P} evenings spent
what would {E} do with a weekend and no work
what pastime makes {O} relax""",
        """
{P} hobby is {V}.
{E} enjoy{s} {V} in free time.
{V} is {P} hobby.
for fun {E} love{s} {V}.
the hobby {E} like{s} most is {V}.
{E} spend{s} weekends with {V}.""",
    ),
    "pet": (
        "pet",
        "a {v}",
        """
what is {P} pet
[which|what] [pet|kind of pet|animal] {do} {E} [have|keep|own]
what kind of [animal|pet] {do} {E} [have|keep|own|feed]
[tell me|name|say] {P} pet.
what animal lives [with {O}|in {P} house|at {P} home]
which animal is {P} pet
what pet lives [with {O}|in {P} house]
{P} pet is what
what is the [pet|animal] {E} [keep|own|have]{s}
what creature {do} {E} [keep|feed|own]
what [animal|creature] {do} {E} feed every day
what [animal|creature] {do} {E} [care for|look after]
what kind of creature shares {P} home
which animal belongs to {O}
what {do} {E} have as a pet
what sort of pet is {P} own
if I came to {P} home, which animal would I meet
at {P} house, what creature would I see
when {E} come{s} home, which animal waits there
a creature in {P} home: of which sort
who is cared for by {O}, what kind of pet
what sort of creature is fed by {O}
what animal is owned by {O}
which animal {do} {E} share a home with
what creature would follow {O} home
which sort of animal {do} {E} look after""",
        """
which creature lives with {O}
what animal shares the house of {O}
who is fed by {O} every day, what creature
what sort of animal belongs in {P} home
what {do} {E} look after, a creature of which kind
which creature is cared for by {O}
what animal would I meet at {P} place
what kind of creature is owned by {O}""",
        """
{P} pet is a {V}.
{E} keep{s} a {V} as a pet.
a {V} is {P} pet.
{E} own{s} a {V}.
the animal that lives with {O} is a {V}.
the pet {E} keep{s} is a {V}.""",
    ),
    "month": (
        "birthday",
        "in {v}",
        """
when is {P} [birthday|birthday party]
in [which|what] month is {P} birthday
in [which|what] month was {E} born
when was {E} born
[which|what] month is {P} birthday in
when {do} {E} [celebrate|have] a birthday
[tell me|name|say] {P} [birth month|birthday month].
what is {P} [birth month|birthday month]
[which|what] month {do} {E} celebrate in
when {do} {E} turn a year older
when should I [buy|bring|wrap] a [gift|present] for {O}
when {do} {E} get [gifts|presents|a birthday cake]
{P} birthday is when
in [which|what] month {do} {E} get a [cake|present|gift]
when should I [congratulate|bake a cake for] {O}
when {do} {E} blow out candles
if I bake a cake for {O}, in which month
a party for {O}: in what month should it be
when does {P} life turn a year older
at what time of year is {P} birthday
in what part of the year was {E} born
which month began {P} life
when do I wrap a gift for {O}
what month do people bring {O} presents
for {P} birthday cake, which month should I remember
when are the candles on {P} cake""",
        """
which month makes {O} a year older
what time of year should I bake for {O}
candles on a cake for {O}: in which month
which month should I wrap presents for {O}
when do people congratulate {O}
in what part of the year did {P} life begin, which month
which month brings gifts to {O}
when is a party with cake for {O}""",
        """
{P} birthday is in {V}.
{E} celebrate{s} a birthday in {V}.
{V} is the month of {P} birthday.
in {V} {E} turn{s} a year older.
{P} birth month is {V}.
in {V} it is {P} birthday.""",
    ),
    "flower": (
        "favourite flower",
        "the {v}",
        """
what is {P} [favourite|preferred|best-loved] [flower|blossom|bloom]
[which|what] [flower|blossom|bloom] {do} {E} [like|love|prefer|enjoy] [best|most|above all]
[tell me|name|say] {P} favourite [flower|blossom].
what [flower|blossom] is {P} favourite
which flower would {E} [pick|plant|choose|grow]
what should I plant in [the|a] garden for {O}
of all [flowers|blossoms], which {do} {E} like [best|most]
[which|what] [flower|bloom] delights {O}
what flower should be in a bouquet for {O}
{P} favourite [flower|blossom] is what
what bouquet should I [buy|bring] for {O}
what would {E} plant in a garden
what is the [flower|bloom] {E} [like|love]{s} [best|most]
what {do} {E} [like|love] to smell in a garden
which flower {do} {E} put in a vase
what petals {do} {E} like most
if I brought {O} a bouquet, of which bloom
a vase for {O}: which blossom goes in
when {E} plant{s} seeds, for what flower
which blossom would make {O} glad
what bloom would please {O}
which seeds should I plant for {O}
for a vase, which flower would {E} choose
which bloom would {E} smell first""",
        """
what blossom should I put in a vase for {O}
for a bouquet, which bloom would please {O}
if {E} had a garden, what would grow there
which petals delight {O}
what smell of garden makes {O} glad
which bloom would {E} plant first
what seeds should I buy for the garden of {O}
which bouquet would {E} put in a vase""",
        """
{P} favourite flower is the {V}.
{E} love{s} the {V} best of all flowers.
the {V} is the flower {E} like{s} best.
the {V} is {P} favourite flower.
the flower {E} like{s} best is the {V}.
no flower delights {O} like the {V}.""",
    ),
    "fear": (
        "greatest fear",
        "{v}",
        """
what is {P} [greatest|biggest|worst] fear
what {be} {E} [afraid|scared|frightened] of
what {do} {E} fear [most|]
what [scares|frightens|terrifies] {O} [most|]
[tell me|name|say] {P} [greatest|biggest|worst] fear.
what makes {O} [afraid|nervous|shiver|tremble]
what {do} {E} [run away from|hide from]
{P} [greatest|biggest] fear is what
of what {be} {E} [afraid|scared|frightened] [most|]
what {do} {E} dread [most|]
what is the thing {E} fear{s} [most|]
what should {E} be kept away from because of fear
what gives {O} [nightmares|bad dreams]
which thing [scares|frightens] {O} most
what would make {O} [scream|run away|hide]
what can {E} not bear
if {E} scream{s}, what did {E} see
when {E} shiver{s}, what is it because of
what haunts {O} at night
a bad dream of {O}: what is it about
what would {E} never go near
what must {E} be kept away from
at the sight of what would {E} run away
which thing sends {O} running
what gives {O} a fright
what {do} {E} hide from in fright
more than anything, what {do} {E} dread""",
        """
from what would {E} run
what haunts {O} in nightmares
what makes {O} scream with fright
which thing {do} {E} dread
at what would {E} shiver and tremble
what must I keep away from {O}
what makes {O} nervous more than anything
what sends {O} into hiding""",
        """
{P} greatest fear is {V}.
{E} {be} afraid of {V}.
{V} is what {E} fear{s} most.
{E} fear{s} {V} more than anything.
what scares {O} most is {V}.
{V} is {P} greatest fear.""",
    ),
    "number": (
        "lucky number",
        "{v}",
        """
what is {P} [lucky|favourite|special] [number|figure]
[which|what] number {do} {E} [like|love|prefer] [best|most]
[tell me|name|say] {P} [lucky|favourite] number.
[which|what] number brings {O} luck
what number is {P} favourite
which number would {E} [pick|choose] [in a lottery|in a game|on a ticket]
what number {do} {E} [bet on|play] [in a game|in the lottery|]
{P} lucky number is what
of all numbers, which {do} {E} like [best|most]
what is the number {E} like{s} [best|most]
[which|what] [number|figure] {do} {E} call lucky
what number is on {P} [shirt|ticket]
what figure would {E} write on a lottery ticket
on which number would {E} bet
which number means luck to {O}
what number {do} {E} trust in a game of luck
if {E} played in a lottery, what would {E} bet on
when {E} roll{s} the dice, which number {do} {E} hope for
a ticket for {O}: with which number
in a game of luck, what would {E} pick
on a shirt for {O}, which figure should be printed
what figure would bring {O} good luck
if {E} had one number to choose, which
which number would be good for {O} in a game
when {E} bet{s}, what is it on
what should I write on a ticket for {O}""",
        """
which figure {do} {E} trust
on a lottery ticket, what would {E} write
what figure means good luck for {O}
which shirt would {E} wear, with what figure on it
when dice roll, what {do} {E} bet on
if luck had a number for {O}, which would it be
what figure should I bet on for {O}
in the lottery, which one would {E} pick""",
        """
{P} lucky number is {V}.
the number {E} like{s} best is {V}.
{V} is {P} lucky number.
{V} brings {O} luck.
{E} call{s} {V} a lucky number.
the number that brings {O} luck is {V}.""",
    ),
}

# (before, after): how a question is wrapped. A question keeps its capital only without a wrapping before it.
FRAMES = [
    ("", ""),
    ("Tell me, ", ""),
    ("Remind me, ", ""),
    ("Remind me: ", ""),
    ("Quick question: ", ""),
    ("I forgot: ", ""),
    ("I forgot, ", ""),
    ("Could you tell me: ", ""),
    ("Can you tell me, ", ""),
    ("Do you happen to know: ", ""),
    ("Do you know ", ""),
    ("Please tell me, ", ""),
    ("By the way, ", ""),
    ("I wonder, ", ""),
    ("One question: ", ""),
    ("Let me ask you: ", ""),
    ("Do you remember ", ""),
    ("Do you still know: ", ""),
    ("", " Do you know?"),
    ("", " Do you remember?"),
    ("", " Please tell me."),
    ("", " I forgot."),
    ("Help me remember: ", ""),
    ("I want to know, ", ""),
    ("I would like to know: ", ""),
]
FRAMES += [
    (before, "")
    for before in (
        "Please tell me: ", "I would like to know: ", "Hey, ", "Hello! ", "Could you tell me this: ",
        "I was wondering: ",
        "Good evening. ", "I have a question for you. ", "Okay, ", "Let me ask you something. ",
        "While I have you here: ",
        "Hi there. ", "Thanks for your help so far. ", "Help me out here: ", "Just to check: ", "If you remember, ",
        "I need your memory for this one. ", "Here is something I keep forgetting. ", "Tell me honestly: ",
        "Someone asked me this today: ", "For the record: ", "Before we go on, ", "This came up at breakfast. ",
        "I am writing this down, so: ",
    )
]  # fmt: skip
# Around a clause such as "what my sister's name is".
CLAUSE_FRAMES = [
    ("Tell me ", "."), ("Do you know ", "?"), ("Please say ", "."), ("I would like to know ", "."),
    ("Can you tell me ", "?"), ("I want to know ", "."), ("Could you remind me ", "?"), ("I forgot ", "."),
    ("Would you mind telling me ", "?"), ("Do you remember ", "?"), ("I am trying to recall ", "."), ("Any idea ", "?"),
]  # fmt: skip
SHORT_FRAMES = [("", ""), ("So, ", ""), ("Now, ", ""), ("Well, ", ""), ("Hm, ", ""), ("Say, ", ""), ("Friend, ", "")]
TELL_FRAMES = [
    "",
    "",
    "",
    "By the way, ",
    "Just so you know, ",
    "Please remember: ",
    "Remember, ",
    "You should know that ",
    "I want to tell you that ",
    "Did you know? ",
]
