package main

// A family is a group of products whose words go together: every material
// suits every noun in every variant. The lists are separated by "|".
type family struct {
	pattern   string // {brand} {material} {noun} {variant}
	materials string
	nouns     string
	variants  string
	low, high int // price range in whole units of currency
}

type department struct {
	name     string
	brands   string
	about    string // the second sentence of a description
	families []family
}

const plain = "{brand} {material} {noun}, {variant}"

// The shop: what it sells, department by department.
var departments = []department{
	{"Cookware", "Harrow|Brackley|Ostra|Fjell & Co|Maison Lune|Kestrel|Ironbark|Tamsin",
		"Works on every hob, including induction.|Goes from hob to oven to table.|Riveted handles, made to be repaired.|Wash by hand and it will outlive you.", []family{
			{plain, "Cast-Iron|Enamelled|Copper-Core|Stainless Steel|Carbon-Steel|Hard-Anodised", "Skillet|Saucepan|Sauté Pan|Casserole|Stockpot|Grill Pan", "20 cm|24 cm|26 cm|28 cm", 29, 189},
			{plain, "Damascus|Forged|Olive-Handled|Walnut-Handled|Japanese", "Chef’s Knife|Bread Knife|Paring Knife|Santoku|Boning Knife", "left-handed|right-handed", 24, 159},
			{plain, "Beech|Olive Wood|Acacia|Silicone", "Spatula|Ladle|Rolling Pin|Whisk|Slotted Spoon|Salad Servers", "small|medium|large", 6, 32},
		}},
	{"Tableware", "Loom & Clay|Söder|Pell|Aster House|Meridian|Tidewater|Quill",
		"No two are quite alike.|Safe in the dishwasher and the microwave.|Fired twice, so that it does not chip.|Stacks neatly, twelve to a shelf.", []family{
			{plain, "Stoneware|Porcelain|Speckled|Reactive-Glaze|Hand-Thrown", "Dinner Plate|Pasta Bowl|Serving Dish|Side Plate|Breakfast Bowl|Mug", "set of 2|set of 4|set of 6", 14, 96},
			{plain, "Recycled|Crystal|Smoked|Ribbed", "Tumblers|Wine Glasses|Carafe|Champagne Flutes|Highball Glasses", "clear|amber|sea green", 12, 88},
			{plain, "Stonewashed Linen|Organic Cotton|Jacquard", "Tablecloth|Napkins|Runner|Tea Towels", "flax|ink|rust|sage", 9, 79},
		}},
	{"Coffee & Tea", "Third Hill|Kettle & Crane|Port Amara|Sable|Early Bird|Nana’s",
		"Roasted every Tuesday.|Ships within two days of packing.|Grown above 1,600 metres.|Brews a clean, sweet cup.", []family{
			{plain, "Ethiopian|Colombian|Guatemalan|Kenyan|Sumatran|House Blend", "Filter Coffee|Espresso Beans|Decaf Beans|Ground Coffee", "250 g|500 g|1 kg", 9, 42},
			{plain, "Borosilicate|Matte Black|Gooseneck|Brushed Steel", "Pour-Over Set|Kettle|French Press|Moka Pot|Burr Grinder", "2 cups|4 cups|8 cups", 19, 139},
			{plain, "First-Flush|Organic|Smoked|Jasmine", "Darjeeling|Sencha|Oolong|Assam|White Tea", "50 g tin|100 g tin|20 pyramids", 7, 36},
		}},
	{"Outdoor", "Northpass|Cairn|Tarn & Fell|Osprey Point|Lodestar|Wildrake|Halden",
		"Tested through three winters.|Packs into its own pocket.|Seams taped, zips waterproof.|Weighs less than it looks.", []family{
			{plain, "Ultralight|Three-Season|Four-Season|Trail", "Tent|Sleeping Bag|Sleeping Mat|Bivvy Bag|Tarp", "1 person|2 person|long", 49, 480},
			{plain, "Waterproof|Merino|Windproof|Insulated|Recycled", "Jacket|Base Layer|Trousers|Fleece|Gilet", "S|M|L|XL", 35, 290},
			{plain, "Titanium|Folding|Compact|Stormproof", "Camp Stove|Head Torch|Water Filter|Cook Set|Trekking Poles", "red|slate|olive", 18, 145},
		}},
	{"Books", "Ines Calder|Tobias Wren|Amara Okafor|Lena Virtanen|Hugh Pemberton|Sofia Marchetti|R. K. Anand|Miriam Sole",
		"A reading-group favourite.|Shortlisted for three prizes.|With a new afterword.|Includes maps.", []family{
			{"The {material} {noun} ({variant})", "Salt|Winter|Borrowed|Glass|Last|Hidden|Paper|Quiet", "Road|Orchard|Lighthouse|Archive|Season|Daughter|Harbour|Garden", "paperback|hardback|large print", 8, 28},
			{"A Field Guide to {material} {noun} ({variant})", "Alpine|Coastal|Urban|Northern|Mediterranean", "Ferns|Birds|Mosses|Trees|Wildflowers|Clouds", "pocket edition|illustrated", 11, 34},
			{"The {material} {noun} Cookbook ({variant})", "Weeknight|Slow|Vegetable|Seaside|One-Pot", "Kitchen|Table|Pantry|Supper|Baking", "hardback|spiral-bound", 16, 45},
		}},
	{"Garden", "Verdant|Hob & Hoe|Rookery|Sundial|Fernleigh|Old Wall",
		"Ash handle from managed woodland.|Guaranteed for twenty-five years.|Sow from March to May.|Frost-proof to −20 °C.", []family{
			{plain, "Stainless|Forged|Long-Handled|Copper", "Spade|Border Fork|Hand Trowel|Rake|Dutch Hoe|Bulb Planter", "child size|standard|tall", 12, 84},
			{plain, "Terracotta|Glazed|Zinc|Fibre-Clay", "Planter|Window Box|Birdbath|Herb Trough", "30 cm|40 cm|60 cm", 18, 129},
			{plain, "Heirloom|Climbing|Dwarf|Rainbow", "Tomato Seeds|Bean Seeds|Sweet Pea Seeds|Chard Seeds|Sunflower Seeds", "one packet|three packets", 2, 9},
		}},
	{"Lighting", "Lumen & Oak|Halo|Arcwright|Studio Nord|Bellwether|Pale Fire",
		"Dimmable, with a warm 2700 K bulb.|Two metres of fabric-covered flex.|Rated for bathrooms.|Wired by hand.", []family{
			{plain, "Brushed Brass|Smoked Glass|Rattan|Opal|Spun Aluminium", "Pendant|Table Lamp|Floor Lamp|Wall Light|Desk Lamp", "small|medium|large", 39, 320},
			{plain, "Warm White|Filament|Solar|Rechargeable", "String Lights|Lantern|Bulb|Night Light", "pack of 1|pack of 3", 8, 64},
			{plain, "Beeswax|Soy|Ribbed|Scented", "Pillar Candle|Taper Candles|Votives", "ivory|fig|cedar|unscented", 5, 38},
		}},
	{"Bed & Bath", "Downham|Sleepwell & Sons|Lisse|Marram|Cove|Featherstone",
		"Softer with every wash.|Woven in Portugal.|Certified free of harmful substances.|Breathes in summer, warms in winter.", []family{
			{plain, "Washed Linen|Percale|Brushed Cotton|Sateen", "Duvet Cover|Fitted Sheet|Pillowcases|Flat Sheet", "single|double|king", 19, 165},
			{plain, "Lambswool|Waffle|Merino|Quilted", "Throw|Blanket|Bedspread|Cushion", "oat|moss|charcoal|clay", 24, 149},
			{plain, "Egyptian Cotton|Bamboo|Turkish", "Bath Towel|Hand Towel|Bath Mat|Bathrobe", "white|stone|navy", 9, 85},
		}},
	{"Stationery", "Foolscap|Inkwell & Ivy|Margin|Ledger Lane|Nib|Octavo",
		"Lies flat on the desk.|Takes fountain-pen ink without bleeding.|Bound with thread, not glue.|Refills are easy to find.", []family{
			{plain, "Hardbound|Softcover|Linen|Recycled", "Notebook|Sketchbook|Weekly Planner|Music Book|Address Book", "A4|A5|A6", 5, 36},
			{plain, "Brass|Resin|Matte Black|Walnut", "Fountain Pen|Rollerball|Mechanical Pencil|Letter Opener", "fine|medium|broad", 12, 118},
			{plain, "Letterpress|Marbled|Botanical", "Cards|Wrapping Paper|Envelopes|Writing Set", "pack of 5|pack of 10|pack of 20", 4, 29},
		}},
	{"Tools", "Anvil Row|Dovetail|Steadfast|Truing|Whitby Works|Gauge",
		"Hardened and tempered in Sheffield.|Comes in a fitted case.|Accurate to a tenth of a millimetre.|Balanced for a day’s work.", []family{
			{plain, "Forged|Insulated|Heavy-Duty|Precision", "Claw Hammer|Combination Pliers|Adjustable Spanner|Screwdriver Set|Hex Keys", "compact|standard|long reach", 9, 74},
			{plain, "Japanese|Fine-Cut|Rosewood|Low-Angle", "Block Plane|Tenon Saw|Bevel Chisel|Marking Gauge|Spokeshave", "12 mm|18 mm|25 mm", 17, 189},
			{plain, "Brushless|Cordless|Variable-Speed", "Drill|Jigsaw|Orbital Sander|Impact Driver", "bare unit|with battery", 59, 279},
		}},
	{"Toys & Games", "Little Otter|Pip & Moss|Tumble|Marble Run Co|Owlet|Saturday",
		"For two to six players, from age eight.|Finished with water-based paint.|Plays in under an hour.|From age three.", []family{
			{plain, "Wooden|Painted|Magnetic|Beech", "Train Set|Building Blocks|Marble Run|Stacking Tower|Farm Animals", "24 pieces|48 pieces|96 pieces", 14, 98},
			{plain, "Illustrated|Panoramic|Vintage-Map|Wildlife", "Jigsaw|Floor Puzzle|Memory Game|Domino Set", "200 pieces|500 pieces|1000 pieces", 9, 39},
			{plain, "Cooperative|Strategy|Travel|Family", "Board Game|Card Game|Dice Game|Word Game", "standard|deluxe|expansion", 11, 72},
		}},
	{"Bags & Travel", "Waypost|Rowan & Hide|Transit|Pilgrim|Saltmarsh|Gannet",
		"Fits under the seat in front.|Repaired free of charge for life.|The zips are the best we could buy.|Lined with recycled cotton.", []family{
			{plain, "Waxed Canvas|Vegetable-Tanned|Ballistic Nylon|Roll-Top|Recycled", "Backpack|Messenger Bag|Weekender|Tote|Holdall", "18 l|28 l|40 l", 39, 310},
			{plain, "Hard-Shell|Aluminium|Soft-Sided", "Cabin Case|Check-In Case|Kids’ Case", "black|forest|sand", 69, 390},
			{plain, "Bridle Leather|Slim|RFID-Safe|Stitched", "Wallet|Card Holder|Passport Cover|Luggage Tag|Key Fob", "tan|black|oxblood", 12, 79},
		}},
}

const (
	firstNames = "Ada|Bruno|Chiara|David|Elif|Femi|Greta|Hana|Ivan|Jonas|Kofi|Leila|Mateo|Nadia|Oskar|Priya|Quentin|Rosa|Samir|Tove|Uma|Viktor|Wanda|Xenia|Yusuf|Zoe"
	lastNames  = "Abbott|Berg|Costa|Dubois|Eriksen|Ferrari|Garcia|Hughes|Ito|Jansen|Kaya|Larsen|Moreau|Novak|Okoye|Patel|Quinn|Rossi|Schmidt|Tanaka|Ueda|Vargas|Weber|Yilmaz|Zhang"
	cities     = "Lisbon|Utrecht|Leeds|Turin|Gdansk|Bergen|Lyon|Bilbao|Graz|Cork|Aarhus|Ghent|Porto|Leipzig|Malmö|Tartu"
)
