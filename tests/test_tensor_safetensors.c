/* safetensors: what is written is read back; every rule of the reader has at least one file that
 * breaks it and is refused with its reason; memory stays below file + 1 MiB. */
#include "tensor/io.h"
#include "tests/bad_inputs.h"

#include <jansson.h>
#include <locale.h>
#include <sys/stat.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Under a sanitizer resident memory is not ours alone, so only jansson's share is judged. */
#if defined(__SANITIZE_ADDRESS__)
static const bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif
#else
static const bool sanitized = false;
#endif

static char *folder;
static void setup(void) { folder = temp_folder(); }
static void teardown(void) { temp_remove(folder); }

TestSuite(tensor_safetensors, .init = setup, .fini = teardown);

/* --- safetensors: refusals -------------------------------------------------------------------- */

#define F4 "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"
#define EMPTY "{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"
#define AT(dtype, shape, offsets)                                                                  \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(shape_a, offsets_a, shape_b, offsets_b)                                                \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":" shape_a ",\"data_offsets\":" offsets_a                   \
    "},\"b\":{\"dtype\":\"U8\",\"shape\":" shape_b ",\"data_offsets\":" offsets_b "}}"
#define META(meta) "{\"__metadata__\":" meta ",\"a\":" F4 "}"
#define S256 S64 S64 S64 S64
#define S64 S16 S16 S16 S16
#define S16 "abcdefghijklmnop"

/* header text, bytes of data behind it, a part of the message */
static const struct refusal {
    const char *header;
    size_t data;
    const char *message;
} refusals[] = {
    /* the outer object */
    {"", 4, "does not begin with '{'"},
    {" {\"a\":" F4 "}", 4, "does not begin with '{'"},
    {"[]", 0, "does not begin with '{'"},
    {"\xef\xbb\xbf{}", 0, "does not begin with '{'"},
    {"{", 0, "does not begin with '{'"},
    {"{ ", 0, "name in quotes"},
    {"{\"a\":" F4, 4, "',' or '}' expected"},
    {"{\"a\":" F4 ",}", 4, "name in quotes"},
    {"{,\"a\":" F4 "}", 4, "name in quotes"},
    {"{\"a\":" F4 ",,\"b\":" F4 "}", 4, "name in quotes"},
    {"{\"a\" " F4 "}", 4, "':' expected"},
    {"{\"a\"=" F4 "}", 4, "':' expected"},
    {"{a:" F4 "}", 4, "name in quotes"},
    {"{'a':" F4 "}", 4, "name in quotes"},
    {"{\"a\":" F4 "}x", 4, "behind the header"},
    {"{\"a\":" F4 "}{}", 4, "behind the header"},
    {"{\"a\":" F4 "}}", 4, "behind the header"},
    {"{\"a", 4, "no end"},
    {"{\"a\\\"}", 4, "no end"},
    {"{\"a\":{\"dtype\":\"F32", 4, "no end"},
    {"{\"a\":{\"dtype\":\"F32\"", 4, "not closed"},
    {"{\"a\":[[[[[[[[", 4, "not closed"},
    {"{\"a\":1}", 4, "object or a string"},
    {"{\"a\":null}", 4, "object or a string"},
    {"{\"a\":\"F32\"}", 4, "not an object"},
    {"{\"a\":[1,2]}", 4, "not an object"},
    {"{/**/\"a\":" F4 "}", 4, "name in quotes"},
    {"{\"a\":" F4 ",\"a\":" F4 "}", 4, "data overlaps"},
    {TWO("[2]", "[0,2]", "[0]", "[2,2]") " \v", 2, "behind the header"},
    /* names */
    {"{\"a\n\":" F4 "}", 4, "not valid JSON"},
    {"{\"a\xff\":" F4 "}", 4, "not valid JSON"},
    {"{\"\xc0\xaf\":" F4 "}", 4, "not valid JSON"},
    {"{\"\xed\xa0\x80\":" F4 "}", 4, "not valid JSON"},
    {"{\"a\\u0000b\":" F4 "}", 4, "not valid JSON"},
    {"{\"a\\x41\":" F4 "}", 4, "not valid JSON"},
    {"{\"\\ud800\":" F4 "}", 4, "not valid JSON"},
    {"{\"" S256 "x\":" F4 "}", 4, "longer than 256"},
    {"{\"" S256 S256 S256 S256 S256 S256 S256 "\":" F4 "}", 4, "longer than 256"},
    {"{\"__metadata_\\u005f\":" F4 "}", 4, "reserved"},
    /* entries */
    {"{\"a\":{}}", 4, "dtype is missing"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets are missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"file\":\"/etc/passwd\"}}", 4,
     "besides"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],}}", 4, "not valid JSON"},
    {"{\"a\":{\"dtype\":\"F32\" \"shape\":[1],\"data_offsets\":[0,4]}}", 4, "not valid JSON"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4}]}", 4, "not valid JSON"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1}}", 4, "',' or '}' expected"},
    /* dtype */
    {AT("F31", "[1]", "[0,4]"), 4, "dtype 'F31'"},
    {AT("f32", "[1]", "[0,4]"), 4, "dtype 'f32'"},
    {AT("I8", "[4]", "[0,4]"), 4, "dtype 'I8'"},
    {AT("F8_E4M3", "[4]", "[0,4]"), 4, "dtype 'F8_E4M3'"},
    {AT("", "[1]", "[0,4]"), 4, "dtype ''"},
    {AT("F32 ", "[1]", "[0,4]"), 4, "dtype 'F32 '"},
    {AT("\\n\\u001b[31m", "[1]", "[0,4]"), 4, "dtype '??[31m'"},
    {"{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype is missing"},
    /* shape */
    {AT("F32", "1", "[0,4]"), 4, "shape is missing"},
    {AT("F32", "\"[1]\"", "[0,4]"), 4, "shape is missing"},
    {AT("F32", "{}", "[0,4]"), 4, "shape is missing"},
    {AT("F32", "[1.0]", "[0,4]"), 4, "not an integer"},
    {AT("F32", "[1e0]", "[0,4]"), 4, "not an integer"},
    {AT("F32", "[\"1\"]", "[0,4]"), 4, "not an integer"},
    {AT("F32", "[true]", "[0,4]"), 4, "not an integer"},
    {AT("F32", "[null]", "[0,4]"), 4, "not an integer"},
    {AT("F32", "[[1]]", "[0,4]"), 4, "not an integer"},
    {AT("F32", "[01]", "[0,4]"), 4, "not valid JSON"},
    {AT("F32", "[+1]", "[0,4]"), 4, "not valid JSON"},
    {AT("F32", "[0x1]", "[0,4]"), 4, "not valid JSON"},
    {AT("F32", "[1,]", "[0,4]"), 4, "not valid JSON"},
    {AT("F32", "[-1]", "[0,4]"), 4, "negative"},
    {AT("F32", "[-1,-1]", "[0,4]"), 4, "negative"},
    {AT("F32", "[281474976710657]", "[0,4]"), 4, "2^48"},
    {AT("F32", "[9223372036854775807]", "[0,4]"), 4, "2^48"},
    {AT("F32", "[9223372036854775808]", "[0,4]"), 4, "not valid JSON"},
    {AT("F32", "[18446744073709551617]", "[0,4]"), 4, "not valid JSON"},
    {AT("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "rank 9"},
    {AT("U8", "[281474976710656,281474976710656]", "[0,4]"), 4, "can be counted"},
    {AT("U8", "[4294967296,4294967296]", "[0,0]"), 0, "can be counted"},
    {AT("F32", "[4294967296,1073741824]", "[0,0]"), 0, "can be counted"},
    {AT("F64", "[2097152,1099511627776]", "[0,0]"), 0, "can be counted"},
    {AT("F32", "[2]", "[0,4]"), 4, "needs 8 bytes"},
    {AT("F32", "[0]", "[0,4]"), 4, "needs 0 bytes"},
    {AT("F32", "[]", "[0,8]"), 8, "needs 4 bytes"},
    {AT("F64", "[1]", "[0,4]"), 4, "needs 8 bytes"},
    {AT("F32", "[281474976710656]", "[0,4]"), 4, "needs 1125899906842624 bytes"},
    /* data_offsets */
    {AT("F32", "[1]", "[0,4,8]"), 8, "not two integers"},
    {AT("F32", "[1]", "[4]"), 4, "not two integers"},
    {AT("F32", "[1]", "[]"), 4, "not two integers"},
    {AT("F32", "[1]", "{}"), 4, "not two integers"},
    {AT("F32", "[1]", "4"), 4, "not two integers"},
    {AT("F32", "[1]", "[0,4.0]"), 4, "not two integers"},
    {AT("F32", "[1]", "[0,\"4\"]"), 4, "not two integers"},
    {AT("F32", "[1]", "[4,0]"), 4, "run backwards"},
    {AT("F32", "[1]", "[-4,0]"), 4, "run backwards"},
    {AT("F32", "[1]", "[-9223372036854775808,4]"), 4, "run backwards"},
    {AT("F32", "[1]", "[0,8]"), 4, "end at 8"},
    {AT("F32", "[1]", "[4,8]"), 4, "end at 8"},
    {AT("F32", "[1]", "[9223372036854775803,9223372036854775807]"), 4, "end at 92233720368547758"},
    {AT("F32", "[1]", "[18446744073709551612,18446744073709551616]"), 4, "not valid JSON"},
    {AT("F32", "[1]", "[0,4]"), 3, "end at 4"},
    {AT("F32", "[1]", "[0,4]"), 0, "end at 4"},
    /* places */
    {AT("F32", "[1]", "[0,4]"), 5, "1 bytes behind the last tensor"},
    {AT("F32", "[1]", "[0,4]"), 4096, "4092 bytes behind the last tensor"},
    {AT("F32", "[1]", "[1,5]"), 5, "leaves a hole from byte 0"},
    {AT("F32", "[0]", "[1,1]"), 1, "leaves a hole from byte 0"},
    {"{}", 1, "1 bytes behind"},
    {TWO("[2]", "[0,2]", "[2]", "[3,5]"), 5, "leaves a hole from byte 2"},
    {TWO("[2]", "[0,2]", "[2]", "[1,3]"), 3, "overlaps what ends at byte 2"},
    {TWO("[2]", "[0,2]", "[2]", "[0,2]"), 2, "overlaps"},
    {TWO("[4]", "[0,4]", "[2]", "[1,3]"), 4, "overlaps what ends at byte 4"},
    {TWO("[2]", "[2,4]", "[2]", "[1,3]"), 4, "leaves a hole from byte 0"},
    {TWO("[4]", "[0,4]", "[0]", "[2,2]"), 4, "overlaps what ends at byte 4"},
    /* duplicate names */
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
     "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "twice"},
    /* metadata */
    {META("[]"), 4, "not an object"},
    {META("\"x\""), 4, "not an object"},
    {META("{\"k\":1}"), 4, "object or a string"},
    {META("{\"k\":{}}"), 4, "not a string"},
    {META("{\"k\":[\"v\"]}"), 4, "not a string"},
    {META("{\"k\":null}"), 4, "object or a string"},
    {META("{\"k\":\"v\",\"k\":\"w\"}"), 4, "appears twice"},
    {META("{\"k\":\"v\",\"l\":\"\",\"\\u006b\":\"w\"}"), 4, "appears twice"},
    {META("{\"k\":\"\xfe\"}"), 4, "not valid JSON"},
    {META("{\"k\":\"\\u0000\"}"), 4, "not valid JSON"},
    {META("{\"k\":\"v\",}"), 4, "name in quotes"},
    {META("{\"k\":\"v\"]"), 4, "',' or '}' expected"},
    {META("{\"k\" \"v\"}"), 4, "':' expected"},
    {META("{]"), 4, "name in quotes"},
    {"{\"__metadata__\":{},\"a\":" F4 ",\"__metadata__\":{}}", 4, "appears twice"},
};

static void check_refused(const char *path, wf_status expected, const char *message) {
    wf_safetensors *s = (wf_safetensors *)folder;
    const wf_status status = wf_safetensors_open(&s, path);
    cr_expect(status == expected, "'%s' expected, got status %d: %s", message, (int)status,
              wf_error());
    cr_expect(s == NULL);
    if (!status) return;
    cr_expect(strstr(wf_error(), message) != NULL, "'%s' is not in: %s", message, wf_error());
    cr_expect(strstr(wf_error(), path) != NULL, "no file name in: %s", wf_error());
    cr_expect(strchr(wf_error(), '\n') == NULL);
}

Test(tensor_safetensors, safetensors_refusals) {
    const char *path = temp_path(folder, "bad.safetensors");
    for (size_t i = 0; i < WF_COUNT(refusals); i++) {
        const struct refusal *b = &refusals[i];
        put_safetensors(path, strlen(b->header), b->header, strlen(b->header), b->data);
        check_refused(path, WF_FORMAT, b->message);
    }
}

/* Every prefix of a good file is refused; files with one byte changed are refused or read. */
Test(tensor_safetensors, safetensors_mutations) {
    static const char header[] =
        "{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],"
        "\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[8,9]}}";
    const char *path = temp_path(folder, "m.safetensors");
    put_safetensors(path, sizeof header - 1, header, sizeof header - 1, 9);
    size_t bytes;
    uint8_t *good = get_file(path, &bytes), *bad = malloc(bytes);
    wf_safetensors *s;
    cr_assert(!wf_safetensors_open(&s, path), "%s", wf_error());
    wf_safetensors_free(s);
    for (size_t n = 0; n < bytes; n++) {
        put_file(path, good, n);
        cr_expect(wf_safetensors_open(&s, path) == WF_FORMAT, "the first %zu bytes are read", n);
    }
    uint64_t random = 1;
    for (size_t i = 0; i < bytes - 9; i++)
        for (int j = 0; j < 6; j++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            memcpy(bad, good, bytes);
            bad[i] = j < 4 ? (uint8_t)"\"{]\0"[j] : (uint8_t)(random >> 56);
            put_file(path, bad, bytes);
            if (!wf_safetensors_open(&s, path)) wf_safetensors_free(s);
        }
    free(good);
    free(bad);
}

Test(tensor_safetensors, safetensors_header_length) {
    const char *path = temp_path(folder, "l.safetensors");
    static const char header[] = "{\"a\":" F4 "}";
    const size_t n = sizeof header - 1;
    static const uint64_t wrong[] = {UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63,
                                     (uint64_t)1 << 32, 100000001, 1 << 20};
    for (size_t i = 0; i < WF_COUNT(wrong); i++) {
        put_safetensors(path, wrong[i], header, n, 4);
        check_refused(path, WF_FORMAT, "not a safetensors file, or cut short");
    }
    put_safetensors(path, n + 5, header, n, 4);
    check_refused(path, WF_FORMAT, "cut short");
    put_safetensors(path, n - 1, header, n, 4);
    check_refused(path, WF_FORMAT, "',' or '}' expected");
    put_safetensors(path, n + 1, header, n, 4);
    check_refused(path, WF_FORMAT, "behind the header");
    put_safetensors(path, 0, "", 0, 0);
    check_refused(path, WF_FORMAT, "does not begin with '{'");
    put_file(path, "", 0);
    check_refused(path, WF_FORMAT, "too few");
    put_file(path, "\x01\0\0\0\0\0\0", 7);
    check_refused(path, WF_FORMAT, "too few");
}

Test(tensor_safetensors, not_regular_files) {
    wf_npy a;
    check_refused(temp_path(folder, "missing"), WF_INPUT, "No such file");
    check_refused(folder, WF_INPUT, "is a directory");
    cr_expect(wf_npy_open(&a, folder) == WF_INPUT);
    const char *fifo = temp_path(folder, "fifo");
    cr_assert(mkfifo(fifo, 0600) == 0);
    check_refused(fifo, WF_INPUT, "is a FIFO");
    cr_expect(wf_npy_open(&a, fifo) == WF_INPUT);
    check_refused("/dev/zero", WF_INPUT, "is a device");
    check_refused("", WF_INPUT, "cannot open");
}

/* --- safetensors: memory ---------------------------------------------------------------------- */

static size_t json_now, json_peak;

static void *count_malloc(size_t n) {
    size_t *p = malloc(n + 16);
    if (!p) return NULL;
    *p = n;
    json_now += n;
    if (json_now > json_peak) json_peak = json_now;
    return (char *)p + 16;
}

static void count_free(void *p) {
    if (!p) return;
    size_t *q = (size_t *)(void *)((char *)p - 16);
    json_now -= *q;
    free(q);
}

/* A line of /proc/self/status in bytes. */
static size_t status_bytes(const char *key) {
    char line[256];
    size_t kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key))) kb = strtoul(line + strlen(key), NULL, 10);
    if (f) fclose(f);
    return kb * 1024;
}

/* Opens a file and asserts that neither jansson nor the whole process took more than its size and
 * 1 MiB. */
static void check_memory(const char *path, const char *what) {
    struct stat st;
    cr_assert(stat(path, &st) == 0);
    const size_t limit = (size_t)st.st_size + (1 << 20);
    json_set_alloc_funcs(count_malloc, count_free);
    json_peak = json_now = 0;
#ifdef __GLIBC__
    malloc_trim(0); /* memory kept from the case before would hide what this one takes */
#endif
    FILE *f = fopen("/proc/self/clear_refs", "w"); /* 5: forget the peak */
    if (f) {
        fputs("5", f);
        fclose(f);
    }
    const size_t before = status_bytes("VmRSS:");
    wf_safetensors *s;
    const wf_status status = wf_safetensors_open(&s, path);
    const size_t after = status_bytes("VmHWM:");
    cr_expect(json_peak < limit, "%s: jansson took %zu bytes, limit %zu", what, json_peak, limit);
    /* 256 KiB: what stdio and the allocator touch on their own. */
    if (f && !sanitized)
        cr_expect(after < before + limit + (256 << 10), "%s: resident memory grew by %zu of %zu",
                  what, after - before, limit);
    if (!status) wf_safetensors_free(s);
    json_set_alloc_funcs(malloc, free);
}

/* One header of `repeat` copies of a text between two others. */
static void put_repeated(const char *path, const char *head, const char *unit, size_t repeat,
                         const char *tail) {
    const size_t h = strlen(head), u = strlen(unit), t = strlen(tail), n = h + repeat * u + t;
    char *text = malloc(n);
    cr_assert(text != NULL);
    memcpy(text, head, h);
    for (size_t i = 0; i < repeat; i++) memcpy(text + h + i * u, unit, u);
    memcpy(text + h + repeat * u, tail, t);
    put_safetensors(path, n, text, n, 0);
    free(text);
}

Test(tensor_safetensors, safetensors_memory) {
    const char *path = temp_path(folder, "big.safetensors");
    static const struct {
        const char *what, *head, *unit;
        size_t repeat;
        const char *tail;
    } attack[] = {
        {"a list of zeros", "{\"a\":{\"dtype\":\"U8\",\"shape\":[", "0,", 4000000, "0]}}"},
        {"nesting", "{\"a\":", "[", 8000000, "}"},
        {"nesting, closed nowhere", "{\"a\":", "{\"a\":", 1000000, "}"},
        {"many empty entries", "{", "\"a\":{},", 1000000, "\"a\":{}}"},
        {"many tensors", "{", "\"a\":" EMPTY ",", 9000, "\"a\":" EMPTY "}"},
        {"very many tensors", "{", "\"a\":" EMPTY ",", 99999, "\"a\":" EMPTY "}"},
        {"too many tensors", "{", "\"a\":" EMPTY ",", 200000, "\"b\":{}}"},
        {"a long name", "{\"", "x", 8000000, "\":{}}"},
        {"a long value", "{\"__metadata__\":{\"k\":\"", "x", 8000000, "\"}}"},
        {"a middling value", "{\"__metadata__\":{\"k\":\"", "x", 130000, "\"}}"},
        {"many metadata", "{\"__metadata__\":{", "\"\":\"\",", 90000, "\"k\":\"\"}}"},
        {"very many metadata", "{\"__metadata__\":{", "\"\":\"\",", 900000, "\"k\":\"\"}}"},
        {"metadata in metadata", "{\"__metadata__\":{\"k\":", "{\"k\":", 900000, "}}"},
        {"spaces", "{", " ", 8000000, "}"},
    };
    for (size_t i = 0; i < WF_COUNT(attack); i++) {
        put_repeated(path, attack[i].head, attack[i].unit, attack[i].repeat, attack[i].tail);
        check_memory(path, attack[i].what);
    }
}

Test(tensor_safetensors, safetensors_count_limit) {
    const char *path = temp_path(folder, "count.safetensors");
    put_repeated(path, "{", "\"a\":{},", 100000, "\"a\":{}}");
    check_refused(path, WF_FORMAT, "more than 100000 tensors");
    put_repeated(path, "{", "\"a\":{},", 99999, "\"a\":{}}");
    check_refused(path, WF_FORMAT, "too many for a file this small");
    put_repeated(path, "{\"__metadata__\":{\"k\":\"", "x", 8000000, "\"}}");
    check_refused(path, WF_FORMAT, "too long for so small a file");
}

/* --- safetensors: acceptance ------------------------------------------------------------------ */

Test(tensor_safetensors, safetensors_forms) {
    const char *path = temp_path(folder, "f.safetensors");
    static const char header[] =
        " \t\r\n{ \"b\" : {\"data_offsets\": [ 9 , 11 ], \"shape\" : [1, 2],\n"
        "\"dtype\":\"BOOL\"} , "
        "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}, "
        "\"empty\":{\"dtype\":\"F64\",\"shape\":[3,0,281474976710656],\"data_offsets\":[9,9]},"
        "\"\\u00e9\\\"\\ud83d\\ude00\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],"
        "\"data_offsets\":[8,9]},"
        "\"\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[11,11]},"
        "\"" S256 "\":{\"dtype\":\"BF16\",\"shape\":[0],\"data_offsets\":[0,0]}}  \n ";
    put_safetensors(path, sizeof header - 5, header + 4, sizeof header - 5, 11);
    wf_safetensors *s;
    cr_assert(!wf_safetensors_open(&s, path), "%s", wf_error());
    cr_assert(wf_safetensors_count(s) == 6);
    static const char *const order[] = {S256, "scalar", "\xc3\xa9\"\xf0\x9f\x98\x80",
                                        "empty", "b", ""};
    for (size_t i = 0; i < 6; i++) {
        const wf_named *t = wf_safetensors_at(s, i);
        cr_expect(!strcmp(t->name, order[i]), "tensor %zu is '%s'", i, t->name);
        cr_expect(wf_safetensors_find(s, order[i]) == t);
    }
    const wf_named *t = wf_safetensors_find(s, "b");
    cr_expect(t->dtype == WF_BOOL && t->shape.rank == 2 && t->shape.dim[1] == 2);
    cr_expect(((const uint8_t *)t->data)[0] == 9 && ((const uint8_t *)t->data)[1] == 10);
    cr_expect(wf_safetensors_find(s, "empty")->shape.dim[2] == (int64_t)1 << 48);
    cr_expect(wf_safetensors_find(s, "nothing") == NULL);
    cr_expect(wf_safetensors_at(s, 6) == NULL);
    cr_expect(wf_safetensors_meta(s, "k") == NULL);
    wf_safetensors_free(s);
    put_safetensors(path, 2, "{}", 2, 0);
    cr_assert(!wf_safetensors_open(&s, path), "%s", wf_error());
    cr_expect(wf_safetensors_count(s) == 0 && wf_safetensors_find(s, "") == NULL);
    wf_safetensors_free(s);
    wf_safetensors_free(NULL);
}

Test(tensor_safetensors, safetensors_round_trip) {
    setlocale(LC_ALL, "");
    const char *path = temp_path(folder, "r.safetensors");
    float w[6] = {1, -2, 3.5f, 0, 1e30f, -0.0f};
    int64_t step = INT64_MIN;
    uint8_t bytes[3] = {0, 128, 255};
    const wf_named tensor[] = {
        {"cell.weight", WF_F32, WF_SHAPE(2, 3), w},
        {"odd", WF_U8, WF_SHAPE(3), bytes},
        {"no data", WF_F64, WF_SHAPE(4, 0), NULL},
        {"step \"\\\n\xc3\xa9", WF_I64, WF_SCALAR, &step},
    };
    const char *meta[] = {"format", "pt", "quote\"", "tab\t"};
    cr_assert(!wf_safetensors_write(path, tensor, 4, meta, 2), "%s", wf_error());
    wf_safetensors *s;
    cr_assert(!wf_safetensors_open(&s, path), "%s", wf_error());
    cr_assert(wf_safetensors_count(s) == 4);
    for (size_t i = 0; i < 4; i++) {
        const wf_named *t = wf_safetensors_at(s, i);
        cr_assert(t && t == wf_safetensors_find(s, tensor[i].name));
        cr_expect(!strcmp(t->name, tensor[i].name) && t->dtype == tensor[i].dtype);
        cr_expect(wf_shape_equal(&t->shape, &tensor[i].shape));
        const size_t n = (size_t)wf_shape_count(&t->shape) * wf_dtype_bytes(t->dtype);
        cr_expect(n == 0 || !memcmp(t->data, tensor[i].data, n));
    }
    cr_expect(!strcmp(wf_safetensors_meta(s, "format"), "pt"));
    cr_expect(!strcmp(wf_safetensors_meta(s, "quote\""), "tab\t"));
    wf_safetensors_free(s);
    cr_expect(count_entries(folder) == 1, "a temporary file is left");
    size_t n, again_n;
    uint8_t *first = get_file(path, &n);
    cr_expect((first[0] + 256 * first[1]) % 8 == 0, "data is not aligned");
    cr_assert(!wf_safetensors_write(path, tensor, 4, meta, 2));
    uint8_t *again = get_file(path, &again_n);
    cr_expect(n == again_n && !memcmp(first, again, n), "the same tensors give other bytes");
    free(first);
    free(again);
}

Test(tensor_safetensors, safetensors_write_refusals) {
    const char *path = temp_path(folder, "w.safetensors");
    float w = 1;
    wf_named bad[] = {
        {NULL, WF_F32, WF_SCALAR, &w},
        {S256 "x", WF_F32, WF_SCALAR, &w},
        {"__metadata__", WF_F32, WF_SCALAR, &w},
        {"not utf-8 \xff", WF_F32, WF_SCALAR, &w},
        {"no data", WF_F32, WF_SCALAR, NULL},
        {"negative", WF_F32, WF_SHAPE(-1), &w},
        {"huge", WF_F32, WF_SHAPE(INT64_MAX, INT64_MAX), &w},
        {"long axis", WF_F32, WF_SHAPE(0, ((int64_t)1 << 48) + 1), &w},
        {"rank", WF_F32, WF_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1), &w},
        {"dtype", (wf_dtype)99, WF_SCALAR, &w},
    };
    for (size_t i = 0; i < WF_COUNT(bad); i++)
        cr_expect(wf_safetensors_write(path, &bad[i], 1, NULL, 0) == WF_ARGUMENT, "case %zu", i);
    const wf_named twice[] = {{"a", WF_F32, WF_SCALAR, &w}, {"a", WF_F32, WF_SCALAR, &w}};
    cr_expect(wf_safetensors_write(path, twice, 2, NULL, 0) == WF_ARGUMENT);
    const char *meta[] = {"k", "\xff"};
    cr_expect(wf_safetensors_write(path, twice, 1, meta, 1) != WF_OK);
    cr_expect(count_entries(folder) == 0, "a refused file is left");
}

Test(tensor_safetensors, safetensors_golden) {
    const char *data = test_data("golden safetensors");
    if (!data) return;
    static const char *const name[] = {"init", "grads", "after", "trained"};
    for (int i = 0; i < 4; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/golden/%s.safetensors", data, name[i]);
        wf_safetensors *s;
        cr_assert(!wf_safetensors_open(&s, path), "%s", wf_error());
        const wf_named *t = wf_safetensors_find(s, "convlstm0.0.conv_lstm_cell.conv_hi.weight");
        cr_assert(t && t->dtype == WF_F32 && t->shape.rank == 4 && t->shape.dim[3] == 5);
        cr_expect(wf_safetensors_count(s) == (i == 1 ? 70u : 79u), "%zu", wf_safetensors_count(s));
        wf_safetensors_free(s);
    }
}
