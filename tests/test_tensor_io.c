/* npy and atomic writing: what is written is read back, every rule of the npy reader has a file
 * that breaks it and is refused with its reason, and a final name never holds half a file. */
#include "tensor/io.h"
#include "tests/bad_inputs.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char *folder;
static void setup(void) { folder = temp_folder(); }
static void teardown(void) { temp_remove(folder); }

TestSuite(tensor_io, .init = setup, .fini = teardown);

struct refusal {
    const char *header; /* text of the dictionary */
    size_t data;        /* bytes behind it */
    const char *message;
};

/* --- npy -------------------------------------------------------------------------------------- */

#define ORDER "'fortran_order': False"
#define GOOD "{'descr': '<f4', " ORDER ", 'shape': (2,), }"

/* Version 1.0 (or another) with this dictionary, a newline, and data_bytes bytes. */
static void put_npy(const char *path, int major, const char *dict, size_t data_bytes) {
    const size_t n = strlen(dict), start = major == 1 ? 10 : 12;
    uint8_t *p = calloc(1, start + n + data_bytes + 1);
    cr_assert(p != NULL);
    memcpy(p, "\x93NUMPY", 6);
    p[6] = (uint8_t)major;
    p[8] = (uint8_t)n;
    p[9] = (uint8_t)(n >> 8);
    if (major > 1) p[10] = (uint8_t)(n >> 16);
    memcpy(p + start, dict, n);
    put_file(path, p, start + n + data_bytes);
    free(p);
}

static const struct refusal bad_npy[] = {
    {"", 8, "header of 0 bytes"},
    {"\n", 8, "'{' expected"},
    {"{}\n", 8, "is missing"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2,), }", 8, "newline"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2,), \n", 8, "in quotes"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2,)} x\n", 8, "behind '}'"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2,)}{}\n", 8, "behind '}'"},
    {"{'descr': '<f4', 'shape': (2,), }\n", 8, "is missing"},
    {"{" ORDER ", 'shape': (2,), }\n", 8, "is missing"},
    {"{'descr': '<f4', " ORDER ", }\n", 8, "is missing"},
    {"{'descr': '<f4', 'descr': '<f4', " ORDER ", 'shape': (2,)}\n", 8, "twice"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2,), 'x': 1}\n", 8, "unknown"},
    {"{'descr': '<f4' " ORDER ", 'shape': (2,)}\n", 8, "',' or '}'"},
    {"{'descr' '<f4', " ORDER ", 'shape': (2,)}\n", 8, "':' expected"},
    {"{,'descr': '<f4', " ORDER ", 'shape': (2,)}\n", 8, "in quotes"},
    {"{'descr': '<f4',, " ORDER ", 'shape': (2,)}\n", 8, "in quotes"},
    {"{'descr\": '<f4', " ORDER ", 'shape': (2,)}\n", 8, "no end"},
    {"{'descr': '>f4', " ORDER ", 'shape': (2,)}\n", 8, "big-endian"},
    {"{'descr': '=f4', " ORDER ", 'shape': (2,)}\n", 8, "dtype is not read"},
    {"{'descr': '|O', " ORDER ", 'shape': (2,)}\n", 8, "dtype is not read"},
    {"{'descr': 'O', " ORDER ", 'shape': (2,)}\n", 16, "dtype is not read"},
    {"{'descr': '<c8', " ORDER ", 'shape': (1,)}\n", 8, "dtype is not read"},
    {"{'descr': '<U2', " ORDER ", 'shape': (1,)}\n", 8, "dtype is not read"},
    {"{'descr': '<f44444444444444444444', " ORDER ", 'shape': (2,)}\n", 8, "too long"},
    {"{'descr': [('a', '<f4')], " ORDER ", 'shape': (2,)}\n", 8, "structured"},
    {"{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}\n", 8, "fortran_order"},
    {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}\n", 8, "fortran_order"},
    {"{'descr': '<f4', 'fortran_order': Falsey, 'shape': (2,)}\n", 8, "',' or '}'"},
    {"{'descr': '<f4', 'fortran_order': __import__('os'), 'shape': (2,)}\n", 8, "fortran_order"},
    {"{'descr': '<f4', " ORDER ", 'shape': 2}\n", 8, "'(' expected"},
    {"{'descr': '<f4', " ORDER ", 'shape': [2]}\n", 8, "'(' expected"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2)}\n", 8, "one axis"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2 1)}\n", 8, "',' or ')'"},
    {"{'descr': '<f4', " ORDER ", 'shape': (,)}\n", 8, "number without sign"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2,,)}\n", 8, "number without sign"},
    {"{'descr': '<f4', " ORDER ", 'shape': (-2,)}\n", 8, "number without sign"},
    {"{'descr': '<f4', " ORDER ", 'shape': (+2,)}\n", 8, "number without sign"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2L,)}\n", 8, "',' or ')'"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2.0,)}\n", 8, "',' or ')'"},
    {"{'descr': '<f4', " ORDER ", 'shape': (02,)}\n", 8, "begins with 0"},
    {"{'descr': '<f4', " ORDER ", 'shape': (0x2,)}\n", 8, "',' or ')'"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2,\n", 8, "number without sign"},
    {"{'descr': '<f4', " ORDER ", 'shape': (281474976710657,)}\n", 8, "2^48"},
    {"{'descr': '<f4', " ORDER ", 'shape': (99999999999999999999999999,)}\n", 8, "2^48"},
    {"{'descr': '<f4', " ORDER ", 'shape': (1,1,1,1,1,1,1,1,2)}\n", 8, "8 axes"},
    {"{'descr': '<f4', " ORDER ", 'shape': (281474976710656, 281474976710656)}\n", 8, "to count"},
    {"{'descr': '<f4', " ORDER ", 'shape': (4294967296, 1073741824)}\n", 0, "to count"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2,)}\n", 7, "needs 8 bytes"},
    {"{'descr': '<f4', " ORDER ", 'shape': (2,)}\n", 9, "the file has 9"},
    {"{'descr': '<f4', " ORDER ", 'shape': ()}\n", 8, "needs 4 bytes"},
    {"{'descr': '<f4', " ORDER ", 'shape': (0,)}\n", 8, "needs 0 bytes"},
    {"{'descr': '<f8', " ORDER ", 'shape': (65536, 65536)}\n", 2, "needs 34359738368 bytes"},
};

static void check_npy_refused(const char *path, const char *message) {
    wf_npy a;
    const wf_status status = wf_npy_open(&a, path);
    cr_expect(status == WF_FORMAT, "'%s' expected, got status %d: %s", message, (int)status,
              wf_error());
    cr_expect(a.data == NULL && a.map == NULL);
    cr_expect(strstr(wf_error(), message) && strstr(wf_error(), path), "'%s' is not in: %s",
              message, wf_error());
}

Test(tensor_io, npy_refusals) {
    const char *path = temp_path(folder, "bad.npy");
    for (size_t i = 0; i < WF_COUNT(bad_npy); i++)
        for (int major = 1; major <= 3; major++) {
            put_npy(path, major, bad_npy[i].header, bad_npy[i].data);
            check_npy_refused(path, bad_npy[i].message);
        }
    for (int major = 4; major < 256; major += 50) {
        put_npy(path, major, GOOD "\n", 8);
        check_npy_refused(path, "is not known");
    }
    put_npy(path, 0, GOOD "\n", 8);
    check_npy_refused(path, "version 0.0 is not known");
    put_file(path, "\x93NUMPY\x01\x01\0\0\0\0", 12);
    check_npy_refused(path, "version 1.1 is not known");
    put_file(path, "\x93NUMPX\x01\x00\0\0\0\0", 12);
    check_npy_refused(path, "not an npy file");
    put_file(path, "PK\x03\x04", 4);
    check_npy_refused(path, "not an npy file");
    put_file(path, "", 0);
    check_npy_refused(path, "not an npy file");
    put_file(path, "\x93NUMPY\x02\x00\xff\xff\xff\x7f{", 13);
    check_npy_refused(path, "cut short");
}

Test(tensor_io, npy_truncated) {
    const char *path = temp_path(folder, "t.npy");
    const float v[3] = {1, 2, 3};
    cr_assert(!wf_npy_write(path, WF_F32, WF_SHAPE(3), v), "%s", wf_error());
    size_t bytes;
    uint8_t *p = get_file(path, &bytes);
    cr_expect(bytes == 128 + 12 && p[127] == '\n');
    for (size_t n = 0; n < bytes; n++) {
        put_file(path, p, n);
        wf_npy a;
        cr_expect(wf_npy_open(&a, path) == WF_FORMAT, "the first %zu bytes are read", n);
    }
    free(p);
}

Test(tensor_io, npy_round_trip) {
    const char *path = temp_path(folder, "r.npy");
    static const wf_dtype types[] = {WF_U8, WF_F32, WF_F64, WF_I32, WF_I64, WF_BOOL, WF_F16};
    static const double zero[64];
    const wf_shape shapes[] = {WF_SCALAR, WF_SHAPE(5), WF_SHAPE(0), WF_SHAPE(2, 3),
                               WF_SHAPE(1, 1, 2, 1, 1, 2, 1, 1), WF_SHAPE(3, 0, 1)};
    for (size_t i = 0; i < WF_COUNT(types); i++)
        for (size_t j = 0; j < WF_COUNT(shapes); j++) {
            wf_npy a;
            cr_assert(!wf_npy_write(path, types[i], shapes[j], zero), "%s", wf_error());
            cr_assert(!wf_npy_open(&a, path), "%s", wf_error());
            cr_expect(a.dtype == types[i] && wf_shape_equal(&a.shape, &shapes[j]));
            cr_expect((uintptr_t)a.data % 64 == 0, "data is not aligned");
            wf_npy_close(&a);
            cr_expect(a.data == NULL);
        }
    cr_expect(wf_npy_write(path, WF_BF16, WF_SCALAR, zero) == WF_ARGUMENT);
    cr_expect(wf_npy_write(path, WF_F32, WF_SCALAR, NULL) == WF_ARGUMENT);
    cr_expect(wf_npy_write(NULL, WF_F32, WF_SCALAR, zero) == WF_ARGUMENT);
    cr_expect(wf_npy_open(&(wf_npy){0}, NULL) == WF_ARGUMENT);
    cr_expect(wf_npy_write(path, WF_F32, WF_SHAPE(-1), zero) == WF_ARGUMENT);
    cr_expect(count_entries(folder) == 1);
}

Test(tensor_io, npy_forms) {
    static const char *const forms[] = {
        GOOD "\n",
        GOOD "            \n",
        "{'shape': (2, ), 'descr': \"<f4\", \"fortran_order\": False}\n",
        "{ 'shape':(2,),'descr':'<f4','fortran_order':False}\n",
    };
    const char *path = temp_path(folder, "f.npy");
    for (size_t i = 0; i < WF_COUNT(forms); i++)
        for (int major = 1; major <= 3; major++) {
            wf_npy a;
            put_npy(path, major, forms[i], 8);
            cr_assert(!wf_npy_open(&a, path), "%s", wf_error());
            cr_expect(a.dtype == WF_F32 && a.shape.rank == 1 && a.shape.dim[0] == 2);
            wf_npy_close(&a);
        }
}

Test(tensor_io, npy_golden) {
    const char *data = test_data("golden npy");
    if (!data) return;
    char path[512];
    wf_npy a;
    snprintf(path, sizeof path, "%s/golden/clips.npy", data);
    cr_assert(!wf_npy_open(&a, path), "%s", wf_error());
    cr_expect(a.dtype == WF_U8 && a.shape.rank == 4 && a.shape.dim[0] == 20 && a.shape.dim[1] == 8);
    wf_npy_close(&a);
}

/* --- atomic writing --------------------------------------------------------------------------- */

Test(tensor_io, file_replaces_at_commit) {
    const char *path = temp_path(folder, "a");
    put_file(path, "old", 3);
    cr_assert(chmod(path, 0600) == 0);
    wf_file *f;
    cr_assert(!wf_file_create(&f, path), "%s", wf_error());
    char *big = calloc(1, 200000);
    for (int i = 0; i < 200000; i++) big[i] = (char)i;
    for (size_t n = 0, part = 1; n < 200000; n += part, part = (part * 7) % 90001) {
        if (part > 200000 - n) part = 200000 - n;
        cr_assert(!wf_file_write(f, big + n, part), "%s", wf_error());
    }
    size_t bytes;
    uint8_t *p = get_file(path, &bytes);
    cr_expect(bytes == 3 && !memcmp(p, "old", 3), "the final name changed before commit");
    free(p);
    cr_assert(!wf_file_commit(f), "%s", wf_error());
    p = get_file(path, &bytes);
    cr_expect(bytes == 200000 && !memcmp(p, big, bytes));
    struct stat st;
    cr_expect(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600, "a private file became public");
    cr_assert(!wf_file_create(&f, path));
    cr_assert(!wf_file_write(f, "x", 1));
    wf_file_discard(f);
    wf_file_discard(NULL);
    cr_expect(count_entries(folder) == 1, "a temporary file is left");
    free(p);
    free(big);
}

Test(tensor_io, file_refusals) {
    wf_file *f;
    const char *in_missing = temp_path(folder, "no/such");
    cr_expect(wf_file_create(&f, in_missing) == WF_OUTPUT && !f);
    cr_expect(strstr(wf_error(), in_missing) != NULL, "%s", wf_error());
    cr_expect(wf_file_create(&f, folder) == WF_OUTPUT && strstr(wf_error(), "directory"));
    cr_expect(wf_file_create(&f, "/dev/null") == WF_OUTPUT && strstr(wf_error(), "device"));
    cr_expect(wf_file_create(&f, "") == WF_OUTPUT);
    cr_expect(wf_file_create(&f, temp_path(folder, "x/")) == WF_OUTPUT);
    put_file(temp_path(folder, "file"), "", 0);
    cr_expect(wf_file_create(&f, temp_path(folder, "file/x")) == WF_OUTPUT);
    const char *link = temp_path(folder, "link"), *target = temp_path(folder, "file");
    cr_assert(symlink(target, link) == 0);
    cr_assert(!wf_file_create(&f, link), "%s", wf_error());
    cr_assert(!wf_file_write(f, "abc", 3) && !wf_file_commit(f));
    struct stat st;
    cr_expect(lstat(link, &st) == 0 && S_ISLNK(st.st_mode), "the link was replaced");
    cr_expect(stat(target, &st) == 0 && st.st_size == 3);
    cr_expect(count_entries(folder) == 2);
}

/* A limit on file size stands in for a full disk: the old file stays, the error comes at commit. */
Test(tensor_io, file_full_disk) {
    const char *path = temp_path(folder, "full");
    put_file(path, "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {100000, 100000};
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    static uint8_t zero[70000];
    wf_file *f;
    cr_assert(!wf_file_create(&f, path));
    cr_expect(wf_file_write(f, zero, sizeof zero) == WF_OK);
    cr_expect(wf_file_write(f, zero, sizeof zero) == WF_OUTPUT);
    cr_expect(wf_file_write(f, zero, 1) == WF_OUTPUT);
    cr_expect(wf_file_commit(f) == WF_OUTPUT && strstr(wf_error(), "File too large"), "%s",
              wf_error());
    size_t bytes;
    uint8_t *p = get_file(path, &bytes);
    cr_expect(bytes == 3, "the old file is gone");
    free(p);
    cr_expect(count_entries(folder) == 1, "a temporary file is left");
}
