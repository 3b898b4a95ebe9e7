/* Lists of words; see words.h. Kinds share no words, so that a sentence can be made in one way
 * only. */
#include "models/text/words.h"

#define LIST(steep, ...)                                                                           \
    {                                                                                              \
        (const char *const[]){__VA_ARGS__},                                                        \
            (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)), steep        \
    }

const word_place word_places[WORD_PLACES] = {
    {"harbour", LIST(0, "boat", "sailor", "gull", "net", "captain", "rope", "wave", "barrel",
                     "anchor", "whale", "mast", "pier")},
    {"farm", LIST(0, "cow", "farmer", "field", "hen", "barn", "goat", "fence", "wagon", "pig",
                  "lamb", "tractor", "plough")},
    {"school", LIST(0, "teacher", "pupil", "book", "lesson", "desk", "poem", "pencil", "map",
                    "chair", "letter", "globe", "satchel")},
    {"garden", LIST(0, "flower", "gardener", "tree", "bird", "path", "rose", "bee", "fountain",
                    "seed", "hedge", "spade", "snail")},
    {"market", LIST(0, "trader", "apple", "basket", "coin", "stall", "buyer", "cake", "cheese",
                    "melon", "onion", "shawl", "scale")},
    {"forest", LIST(0, "bear", "hunter", "owl", "oak", "stream", "trail", "squirrel", "shadow",
                    "nest", "cave", "raven", "root")},
    {"kitchen", LIST(0, "cook", "pot", "guest", "table", "plate", "oven", "spoon", "kettle", "pie",
                     "jug", "maid", "ladle")},
    {"railway", LIST(0, "train", "driver", "engine", "ticket", "passenger", "bridge", "signal",
                     "tunnel", "porter", "carriage", "clock", "wheel")},
};

const word_list word_women =
    LIST(0, "Anna", "Clara", "Emma", "Maria", "Nora", "Rosa", "Ida", "Lena");
const word_list word_men =
    LIST(0, "Paul", "David", "Carl", "Adam", "Felix", "Hugo", "Jonas", "Oscar");

const word_list word_determiners[2] = {LIST(0, "the", "this", "every", "one"),
                                       LIST(0, "the", "these", "some", "many")};
const word_list word_prepositions =
    LIST(0, "of", "near", "behind", "beside", "under", "above");

const word_list word_moves =
    LIST(0, "wait", "sleep", "sing", "fall", "move", "shine", "rest", "turn", "laugh", "listen",
         "wander", "tremble", "appear", "disappear", "dream", "whisper", "return", "drift",
         "linger", "stumble", "stir", "glow", "creak", "hum");
const word_list word_deeds =
    LIST(0, "see", "find", "love", "hear", "follow", "need", "help", "want", "fear", "remember",
         "hide", "keep", "forget", "guard", "trust", "admire", "visit", "praise", "paint", "greet",
         "count", "pull", "ignore", "lose");

const word_list word_adjectives =
    LIST(1, "old", "small", "red", "quiet", "great", "young", "dark", "bright", "heavy", "green",
         "strange", "warm", "tall", "poor", "broken", "white", "gentle", "proud", "empty", "wet",
         "golden", "narrow", "clever", "lonely", "hungry", "brave", "silver", "dusty", "crooked",
         "noisy", "pale", "lazy", "rusty", "cheerful", "ancient", "weary", "sturdy", "shabby",
         "curious", "stubborn", "hollow", "velvet", "nimble", "sombre", "gaunt", "mossy",
         "slender", "ragged", "placid", "crimson", "brittle", "solemn", "tawny", "jaunty");
const word_list word_adverbs =
    LIST(1, "today", "slowly", "often", "again", "quietly", "outside", "alone", "gladly", "here",
         "always", "together", "early", "softly", "suddenly", "tonight", "calmly", "eagerly",
         "somewhere", "carefully", "twice", "boldly", "wearily", "meanwhile", "solemnly",
         "stubbornly", "reluctantly", "nimbly", "forlornly", "drowsily", "jauntily");
