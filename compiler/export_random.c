/* C text of random numbers: the formulas of tensor/op_random.c, element by element, with the bits
 * of the library. */
#include "compiler/export_text.h"
#include "tensor/sources.h"

/* Statements that make `v` from the block r of element e. */
static void write_value(wf_ctext *c, const wf_call *call, bool blocks_of_four) {
    static const char bits53[] =
        "(double)(((unsigned long long)r.v[%s] << 32 | r.v[%s + 1]) >> 11)";
    char low[96], high[96];
    const wf_random_attr *a = call->attr;
    snprintf(low, sizeof low, bits53, "0", "0");
    snprintf(high, sizeof high, bits53, "2", "2");
    if (call->op == &wf_op_bernoulli) {
        wf_ctext_line(c, "const double v = (double)r.v[e %% 4] < %s;",
                      wf_ctext_real(a->p * 0x1p32).s);
    } else if (call->op == &wf_op_normal) {
        wf_ctext_line(c, "const double w = (%s + 1) * 0x1p-53;", low);
        wf_ctext_line(c, "const double angle = 6.283185307179586477 * (%s * 0x1p-53);", high);
        wf_ctext_line(c, "const double v = __builtin_sqrt(-2 * __builtin_log(w)) *");
        wf_ctext_line(c, "    (e %% 2 ? __builtin_sin(angle) : __builtin_cos(angle));");
    } else if (blocks_of_four) {
        wf_ctext_line(c, "const double v = (r.v[e %% 4] >> 8) * 0x1p-24;");
    } else {
        wf_ctext_line(c, "const double v = (e %% 2 ? %s : %s) * 0x1p-53;", high, low);
    }
}

bool wf_ctext_random(wf_ctext *c, const wf_call *call) {
    const wf_random_attr *a = call->attr;
    const bool four = call->op == &wf_op_bernoulli ||
                      (call->op == &wf_op_uniform && call->out.dtype == WF_F32);
    const int each = four ? 4 : 2, depth = c->depth;
    c->needs |= WF_CTEXT_PHILOX;
    wf_ctext_line(c, "const wf_random s = wf_random_block(0x%xu, 0x%xu, %s,", (uint32_t)a->stream,
                  (uint32_t)(a->stream >> 32),
                  call->n_in ? "(unsigned)*x0, (unsigned)((unsigned long)*x0 >> 32)" : "0, 0");
    wf_ctext_line(c, "                                    0x%xu, 0x%xu);", (uint32_t)a->seed,
                  (uint32_t)(a->seed >> 32));
    wf_ctext_line(c, "wf_random r = s;");
    wf_ctext_line(c, "unsigned long e = 0;");
    wf_ctext_loops(c, &call->out.shape, 'i');
    wf_ctext_line(c, "const unsigned long b = e / %d;", each);
    wf_ctext_line(c, "if (e %% %d == 0) r = wf_random_block((unsigned)b, (unsigned)(b >> 32),",
                  each);
    wf_ctext_line(c, "                                     s.v[2], s.v[3], s.v[0], s.v[1]);");
    write_value(c, call, four);
    wf_ctext_line(c, "y[%s] = (%s)v;", wf_ctext_index(&call->out, 'i', 0).s,
                  wf_ctext_type(call->out.dtype));
    wf_ctext_line(c, "e++;");
    wf_ctext_close(c, depth);
    return true;
}
