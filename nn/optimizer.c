/* Optimisers: gradients, clipping and updates as nodes of the graph, formulas as in torch.optim.
 *
 *   SGD       b = momentum b + g;  w -= lr b            (Nesterov: w -= lr (g + momentum b))
 *   Adam      m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *             w -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *             Kingma and Ba, arXiv:1412.6980
 *   AdamW     w *= 1 - lr decay first: Loshchilov and Hutter, arXiv:1711.05101
 *   RMSProp   s = a s + (1 - a) g^2;  w -= lr g / (sqrt(s [- mean^2]) + eps)
 *             Tieleman and Hinton 2012; centered: Graves, arXiv:1308.0850
 *   clipping  by global norm: Pascanu, Mikolov, Bengio, arXiv:1211.5063
 *
 * State is kept beside the parameters, by name (optimizer.m.NAME): a later graph goes on with it.
 * Numbers that all parameters share (learning rate, bias corrections, norm) are f64 scalars,
 * rounded once when they meet a parameter: 1 - b2^t is 0.001 at the first step to all digits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "nn/params.h"

typedef struct update {
    wf_graph *g;
    wf_params *p;
    wf_optimizer_opt o;
    int n;
    uint32_t *entry;  /* (n) */
    wf_tensor *w, *d; /* (n) parameters and their gradients */
    wf_tensor norm;   /* f64, before clipping */
    wf_tensor lr;     /* f64 */
    wf_tensor rate;   /* f64, Adam: lr / (1 - beta1^t) */
    wf_tensor root;   /* f64, Adam: 1 / sqrt(1 - beta2^t) */
} update;

/* --- small pieces ----------------------------------------------------------------------------- */

static wf_tensor number(const update *u, double v) { return wf_scalar(u->g, WF_F64, v); }

/* An f64 scalar in the dtype of w, times x. */
static wf_tensor scaled(wf_tensor scalar, wf_tensor x) {
    return wf_mul(x, wf_cast(scalar, wf_dtype_of(x)));
}

/* The buffer optimizer.KIND.NAME of parameter i. */
static wf_tensor state(const update *u, const char *kind, int i) {
    char name[WF_NAME_BYTES + 32];
    const wf_param_info info = u->p->entry[u->entry[i]].info;
    snprintf(name, sizeof name, "optimizer.%s.%s", kind, info.name);
    return wf_param_absolute(u->g, u->p, name, info.shape, (wf_init){.kind = WF_INIT_CONSTANT},
                             &(wf_param_opt){.role = WF_ROLE_OPTIMIZER, .dtype = info.dtype});
}

/* keep * state + (1 - keep) * value, assigned to the state. */
static wf_tensor average(wf_tensor s, double keep, wf_tensor value) {
    const wf_tensor y = wf_add(wf_mul_scalar(s, keep), wf_mul_scalar(value, 1 - keep));
    wf_assign(s, y);
    return y;
}

static void descend(const update *u, int i, wf_tensor rate, wf_tensor direction) {
    wf_assign(u->w[i], wf_sub(u->w[i], scaled(rate, direction)));
}

static wf_tensor decayed(const update *u, int i) {
    if (u->o.weight_decay == 0) return u->d[i];
    return wf_add(u->d[i], wf_mul_scalar(u->w[i], u->o.weight_decay));
}

/* --- rules: the update of parameter i --------------------------------------------------------- */

typedef void rule(const update *u, int i);

static void sgd(const update *u, int i) {
    wf_tensor g = decayed(u, i);
    if (u->o.momentum != 0) {
        const wf_tensor b = state(u, "momentum", i);
        const wf_tensor now = wf_add(wf_mul_scalar(b, u->o.momentum), g);
        wf_assign(b, now);
        g = u->o.nesterov ? wf_add(g, wf_mul_scalar(now, u->o.momentum)) : now;
    }
    descend(u, i, u->lr, g);
}

/* The step of Adam from w along gradient g. */
static void adam_from(const update *u, int i, wf_tensor w, wf_tensor g) {
    const wf_tensor m = average(state(u, "m", i), u->o.beta1, g);
    const wf_tensor v = average(state(u, "v", i), u->o.beta2, wf_square(g));
    const wf_tensor size = wf_add_scalar(scaled(u->root, wf_sqrt(v)), u->o.eps);
    wf_assign(u->w[i], wf_sub(w, wf_div(scaled(u->rate, m), size)));
}

static void adam(const update *u, int i) { adam_from(u, i, u->w[i], decayed(u, i)); }

static void adamw(const update *u, int i) {
    wf_tensor w = u->w[i];
    if (u->o.weight_decay != 0)
        w = scaled(wf_sub(number(u, 1), wf_mul_scalar(u->lr, u->o.weight_decay)), w);
    adam_from(u, i, w, u->d[i]);
}

static void rmsprop(const update *u, int i) {
    const wf_tensor g = decayed(u, i);
    wf_tensor s = average(state(u, "square", i), u->o.alpha, wf_square(g));
    /* E[g^2] - E[g]^2 is not negative but for rounding, from which sqrt must be kept. */
    if (u->o.centered)
        s = wf_relu(wf_sub(s, wf_square(average(state(u, "mean", i), u->o.alpha, g))));
    wf_tensor step = wf_div(g, wf_add_scalar(wf_sqrt(s), u->o.eps));
    if (u->o.momentum != 0) {
        const wf_tensor b = state(u, "momentum", i);
        step = wf_add(wf_mul_scalar(b, u->o.momentum), step);
        wf_assign(b, step);
    }
    descend(u, i, u->lr, step);
}

/* --- gradients and clipping ------------------------------------------------------------------- */

/* Square root of the sum of squares over all gradients, f64. Sums of parameters are added in their
 * order. */
static wf_tensor global_norm(const update *u) {
    wf_tensor *part = calloc((size_t)u->n, sizeof *part);
    if (!part) return wf_graph_fail(u->g, "optimizer: out of memory for %d gradients", u->n);
    for (int i = 0; i < u->n; i++)
        part[i] = wf_cast(wf_sum(wf_square(u->d[i]), (wf_reduce_opt){0}), WF_F64);
    const wf_tensor norm = wf_sqrt(wf_add_n(part, u->n));
    free(part);
    return norm;
}

static void clip(update *u) {
    wf_tensor norm = u->norm = global_norm(u);
    if (u->o.clip_value > 0) {
        for (int i = 0; i < u->n; i++) {
            const wf_dtype t = wf_dtype_of(u->d[i]);
            u->d[i] = wf_clamp(u->d[i], wf_scalar(u->g, t, -u->o.clip_value),
                               wf_scalar(u->g, t, u->o.clip_value));
        }
        norm = global_norm(u);
    }
    if (!(u->o.clip_norm > 0)) return;
    const wf_tensor limit = wf_div(number(u, u->o.clip_norm), wf_add_scalar(norm, 1e-6));
    const wf_tensor factor = wf_minimum(limit, number(u, 1));
    for (int i = 0; i < u->n; i++) u->d[i] = scaled(factor, u->d[i]);
}

/* 1 - beta^t = -expm1(t log beta), which loses no digits when t log beta is small. */
static wf_tensor bias_correction(double beta, wf_tensor t) {
    return wf_neg(wf_expm1(wf_mul_scalar(t, log(beta))));
}

static void adam_scalars(update *u) {
    const wf_tensor step = wf_param_absolute(
        u->g, u->p, "optimizer.step", WF_SCALAR, (wf_init){.kind = WF_INIT_CONSTANT},
        &(wf_param_opt){.role = WF_ROLE_OPTIMIZER, .dtype = WF_I64});
    const wf_tensor now = wf_add(step, wf_scalar(u->g, WF_I64, 1));
    wf_assign(step, now);
    const wf_tensor t = wf_cast(now, WF_F64);
    u->rate = wf_div(u->lr, bias_correction(u->o.beta1, t));
    u->root = wf_rsqrt(bias_correction(u->o.beta2, t));
}

/* --- the whole -------------------------------------------------------------------------------- */

/* The trainable parameters that the graph uses: u->w, u->entry, u->n. */
static bool gather(update *u) {
    const size_t n = u->p->n + 1;
    u->w = calloc(n, sizeof *u->w);
    u->d = calloc(n, sizeof *u->d);
    u->entry = calloc(n, sizeof *u->entry);
    if (!u->w || !u->d || !u->entry) {
        wf_graph_fail(u->g, "optimizer: out of memory for %u parameters", u->p->n);
        return false;
    }
    for (uint32_t i = 0; i < u->p->n; i++) {
        u->w[u->n] = wf_entry_leaf(&u->p->entry[i], u->g);
        if (wf_ok(u->w[u->n])) u->entry[u->n++] = i;
    }
    if (u->n == 0)
        wf_graph_fail(u->g, "optimizer: the graph uses no trainable parameter of these parameters");
    return u->n > 0;
}

/* betas in [0, 1), nothing negative or NaN. */
static bool check(wf_graph *g, const wf_optimizer_opt *o) {
    const bool ok = o->lr >= 0 && o->clip_norm >= 0 && o->clip_value >= 0 && o->momentum >= 0 &&
                    o->beta1 > 0 && o->beta1 < 1 && o->beta2 > 0 && o->beta2 < 1 && o->eps >= 0 &&
                    o->weight_decay >= 0 && o->alpha > 0 && o->alpha < 1;
    if (!ok)
        wf_graph_fail(g, "optimizer: an option is out of range: beta1 %g, beta2 %g, alpha %g must "
                         "be in (0, 1), all others not negative",
                      o->beta1, o->beta2, o->alpha);
    return ok;
}

static wf_tensor optimize(update *u, wf_tensor loss, rule *apply, bool is_adam) {
    const wf_tensor none = {u->g, 0};
    u->lr = u->o.lr == 0 ? wf_cast(wf_input(u->g, "lr", WF_F32, WF_SCALAR), WF_F64)
                         : number(u, u->o.lr);
    if (!gather(u)) return none;
    if (wf_grad(loss, u->w, u->n, u->d)) return wf_graph_fail(u->g, "%s", wf_error());
    clip(u);
    if (is_adam) adam_scalars(u);
    for (int i = 0; i < u->n; i++) apply(u, i);
    return wf_cast(u->norm, wf_dtype_of(loss));
}

static wf_tensor run(wf_params *p, wf_tensor loss, wf_optimizer_opt o, rule *apply, bool is_adam) {
    wf_graph *g = loss.graph;
    if (!wf_ok(loss)) return (wf_tensor){g, 0};
    if (!p) return wf_graph_fail(g, "optimizer: the parameters are NULL");
    if (o.beta1 == 0) o.beta1 = 0.9;
    if (o.beta2 == 0) o.beta2 = 0.999;
    if (o.alpha == 0) o.alpha = 0.99;
    if (o.eps == 0) o.eps = 1e-8;
    if (!check(g, &o)) return (wf_tensor){g, 0};
    update u = {.g = g, .p = p, .o = o};
    wf_scope_push(g, "optimizer");
    const wf_tensor norm = optimize(&u, loss, apply, is_adam);
    wf_scope_pop(g);
    free(u.w);
    free(u.d);
    free(u.entry);
    return norm;
}

wf_tensor wf_nn_sgd(wf_params *p, wf_tensor loss, wf_optimizer_opt o) {
    return run(p, loss, o, sgd, false);
}
wf_tensor wf_nn_adam(wf_params *p, wf_tensor loss, wf_optimizer_opt o) {
    return run(p, loss, o, adam, true);
}
wf_tensor wf_nn_adamw(wf_params *p, wf_tensor loss, wf_optimizer_opt o) {
    return run(p, loss, o, adamw, true);
}
wf_tensor wf_nn_rmsprop(wf_params *p, wf_tensor loss, wf_optimizer_opt o) {
    return run(p, loss, o, rmsprop, false);
}
