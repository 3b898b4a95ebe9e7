/* The training graph as text, at every stage of the compiler: written, read and written again it is
 * the same, and what was read computes the same bits. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/pass.h"
#include "models/convlstm/model.h"
#include "tensor/size.h"

static char *text_of(const wf_graph *g, const wf_tensor *out, int n) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_graph_write(g, out, n, f, (wf_write_opt){.leaves = true}), WF_OK);
    fclose(f);
    return text;
}

/* Any numbers for an input: the same for both graphs. */
static float frames[4096];
static const void *bind(void *user, uint32_t id) { return frames; }

static void *results(const wf_graph *g, uint32_t id, size_t *bytes) {
    const wf_type *t = &wf_graph_node(g, id)->type;
    cr_assert(wf_type_bytes(t->dtype, &t->shape, bytes));
    void *to = calloc(1, *bytes + 1);
    cr_assert_eq(wf_reference(g, &id, &to, 1, bind, NULL), WF_OK, "%s", wf_error());
    return to;
}

static void check_stage(wf_graph *g, const wf_tensor *out, int n, const char *stage) {
    wf_stage s = {0};
    cr_assert_eq(wf_stage_make(&s, g, out, n, (wf_compile_opt){0}, stage), WF_OK, "%s", wf_error());
    wf_tensor root[CONVLSTM_TRAINER_OUTPUTS], *again_out;
    for (int i = 0; i < n; i++) root[i] = wf_handle(s.graph, s.root[i]);
    char *text = text_of(s.graph, root, n);
    wf_graph *again;
    int n_again;
    const wf_parse_opt o = {0};
    cr_assert_eq(wf_graph_parse(&again, &again_out, &n_again, text, strlen(text), o), WF_OK,
                 "%s: %s", stage, wf_error());
    cr_assert_eq(n_again, n);
    char *text_again = text_of(again, again_out, n);
    cr_assert(strcmp(text, text_again) == 0, "%s: another text", stage);
    printf("%s: %u nodes, %zu bytes\n", stage, wf_graph_size(again) - 1, strlen(text));
    for (int i = 0; i < n; i++) {
        size_t want_bytes, got_bytes;
        void *want = results(s.graph, s.root[i], &want_bytes);
        void *got = results(again, again_out[i].id, &got_bytes);
        cr_assert(want_bytes == got_bytes && memcmp(want, got, got_bytes) == 0, "%s: output %d",
                  stage, i);
        free(want);
        free(got);
    }
    /* What was read compiles like what was written. */
    wf_program *p;
    cr_assert_eq(wf_compile(&p, again, again_out, n, (wf_compile_opt){0}), WF_OK, "%s", wf_error());
    wf_program_free(p);
    wf_graph_free(again);
    free(again_out);
    free(text_again);
    free(text);
    wf_stage_free(&s);
}

Test(compiler_text, the_training_step_at_every_stage) {
    static const char *const stage[] = {"written", "simplify", "merge", "fuse"};
    const convlstm_size size = {.frames = 3, .batch = 1, .height = 8, .width = 8, .hidden = 4};
    for (size_t i = 0; i < WF_COUNT(frames); i++) frames[i] = (float)(i * 37 % 101) / 101;
    wf_params *p = wf_params_new(7);
    wf_graph *g;
    wf_tensor out[CONVLSTM_TRAINER_OUTPUTS];
    cr_assert_eq(convlstm_training_graph(&g, out, p, size, 2), WF_OK, "%s", wf_error());
    char *text = text_of(g, out, CONVLSTM_TRAINER_OUTPUTS);
    wf_graph *again;
    cr_assert_eq(wf_graph_parse(&again, NULL, NULL, text, strlen(text), (wf_parse_opt){0}), WF_OK,
                 "%s", wf_error());
    wf_graph_free(again);
    free(text);
    for (size_t i = 0; i < WF_COUNT(stage); i++)
        check_stage(g, out, CONVLSTM_TRAINER_OUTPUTS, stage[i]);
    wf_graph_free(g);
    wf_params_free(p);
}

/* A program's text lists its outputs, and packed operands read back. */
Test(compiler_text, programs_with_packed_operands) {
    static float weight[9 * 64 * 64], state[2 * 16 * 16 * 64];
    wf_graph *g = wf_graph_new(), *again;
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(64, 3, 3, 64), weight);
    const wf_tensor h = wf_leaf(g, "h", WF_F32, WF_SHAPE(2, 16, 16, 64), state);
    const wf_conv_opt o = {.pad = {1, 1}};
    const wf_tensor y = wf_tanh(wf_add(wf_conv(h, w, o), wf_conv(wf_tanh(h), w, o)));
    wf_assign(h, y);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, &y, 1, (wf_compile_opt){0}), WF_OK, "%s", wf_error());
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_program_dump(p, f), WF_OK);
    fclose(f);
    cr_assert(strstr(text, "= pack ") && strstr(text, " B packed ") && strstr(text, " + sum["),
              "%s", text);
    wf_tensor *out;
    int n;
    cr_assert_eq(wf_graph_parse(&again, &out, &n, text, size, (wf_parse_opt){0}), WF_OK, "%s",
                 wf_error());
    cr_assert_eq(n, 1);
    char *text_again = NULL;
    f = open_memstream(&text_again, &size);
    cr_assert_eq(wf_graph_write(again, out, n, f, (wf_write_opt){0}), WF_OK);
    fclose(f);
    cr_assert_str_eq(text_again, text);
    cr_assert_eq(wf_program_dump(p, NULL), WF_ARGUMENT);
    cr_assert_eq(wf_stage_dump(g, &y, 1, (wf_compile_opt){0}, "none", stdout), WF_NOT_FOUND);
    cr_assert_eq(wf_stage_dump(NULL, &y, 1, (wf_compile_opt){0}, "plan", stdout), WF_ARGUMENT);
    free(text);
    free(text_again);
    free(out);
    wf_program_free(p);
    wf_graph_free(again);
    wf_graph_free(g);
}
