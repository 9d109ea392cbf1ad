"""Names of ShapeNetCore's synsets, for copies that come without `taxonomy.json`.

The 55 categories of ShapeNetCore v2 by their WordNet 3.0 offset, each with its first word; `bicycle` and `boat` occur
in v1 only.
"""

NAMES = {
    "02691156": "airplane",
    "02747177": "ashcan",
    "02773838": "bag",
    "02801938": "basket",
    "02808440": "bathtub",
    "02818832": "bed",
    "02828884": "bench",
    "02834778": "bicycle",
    "02843684": "birdhouse",
    "02858304": "boat",
    "02871439": "bookshelf",
    "02876657": "bottle",
    "02880940": "bowl",
    "02924116": "bus",
    "02933112": "cabinet",
    "02942699": "camera",
    "02946921": "can",
    "02954340": "cap",
    "02958343": "car",
    "02992529": "cellular_telephone",
    "03001627": "chair",
    "03046257": "clock",
    "03085013": "computer_keyboard",
    "03207941": "dishwasher",
    "03211117": "display",
    "03261776": "earphone",
    "03325088": "faucet",
    "03337140": "file",
    "03467517": "guitar",
    "03513137": "helmet",
    "03593526": "jar",
    "03624134": "knife",
    "03636649": "lamp",
    "03642806": "laptop",
    "03691459": "loudspeaker",
    "03710193": "mailbox",
    "03759954": "microphone",
    "03761084": "microwave",
    "03790512": "motorcycle",
    "03797390": "mug",
    "03928116": "piano",
    "03938244": "pillow",
    "03948459": "pistol",
    "03991062": "pot",
    "04004475": "printer",
    "04074963": "remote_control",
    "04090263": "rifle",
    "04099429": "rocket",
    "04225987": "skateboard",
    "04256520": "sofa",
    "04330267": "stove",
    "04379243": "table",
    "04401088": "telephone",
    "04460130": "tower",
    "04468005": "train",
    "04530566": "vessel",
    "04554684": "washer",
}

TERMS = (
    "ShapeNet is for non-commercial research and education only, after registration and acceptance of its terms; "
    "do not pass the shapes on. https://shapenet.org/terms"
)
LICENSE = "ShapeNet terms of use (non-commercial research and education)"


def is_synset(name: str) -> bool:
    """Whether a folder's name is a WordNet offset."""
    return len(name) == 8 and name.isdigit()
