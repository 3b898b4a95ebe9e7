/* Optimisers: gradients, clipping and updates as nodes of the graph, formulas as in torch.optim.
 *
 *   SGD       b = momentum b + g;  w -= lr b            (Nesterov: w -= lr (g + momentum b))
 *   Adam      m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *             w -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *             Kingma and Ba, arXiv:1412.6980
 *   AdamW     w *= 1 - lr decay first: Loshchilov and Hutter, arXiv:1711.05101
 *   RMSProp   s = a s + (1 - a) g^2;  w -= lr g / (sqrt(s [- mean^2]) + eps)
 *             Tieleman and Hinton 2012; centered: Graves, arXiv:1308.0850
 *   Adagrad   s += g^2;  w -= lr g / (sqrt(s) + eps)        Duchi, Hazan, Singer, JMLR 2011
 *   Lion      w -= lr (sign(b1 m + (1 - b1) g) + decay w);  m = b2 m + (1 - b2) g
 *             Chen et al., arXiv:2302.06675
 *   average   a = keep a + (1 - keep) w after each step, the first one a = w
 *             Polyak and Juditsky 1992, exponential as in Tarvainen and Valpola, arXiv:1703.01780
 *   clipping  by global norm: Pascanu, Mikolov, Bengio, arXiv:1211.5063
 *
 * State is kept beside the parameters, by name (optimizer.m.NAME): a later graph goes on with it.
 * Numbers that all parameters share (learning rate, bias corrections, norm) are f64 scalars,
 * rounded once when they meet a parameter: 1 - b2^t is 0.001 at the first step to all digits.
 *
 * With gradients accumulated over k runs, every assignment goes through `set`, which keeps the old
 * value in the runs between: one program, no decision outside the graph. */
#include <fnmatch.h>
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
    const wf_param_group **group; /* (n) NULL: of none */
    wf_tensor due;    /* bool: the update takes place in this run; zero handle: in all */
    wf_tensor step;   /* i64, the number of this update, from 1 */
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

/* leaf = value, if the update takes place. */
static void set(const update *u, wf_tensor leaf, wf_tensor value) {
    wf_assign(leaf, u->due.graph ? wf_select(u->due, value, leaf) : value);
}

/* keep * state + (1 - keep) * value, assigned to the state. */
static wf_tensor average(const update *u, wf_tensor s, double keep, wf_tensor value) {
    const wf_tensor y = wf_add(wf_mul_scalar(s, keep), wf_mul_scalar(value, 1 - keep));
    set(u, s, y);
    return y;
}

/* The new value of parameter i, and what follows from it. */
static void set_weight(const update *u, int i, wf_tensor value) {
    set(u, u->w[i], value);
    if (u->o.average == 0) return;
    const wf_tensor first = wf_equal(u->step, wf_scalar(u->g, WF_I64, 1));
    const wf_tensor keep = wf_select(first, number(u, 0), number(u, u->o.average));
    const wf_tensor a = state(u, "average", i);
    set(u, a, wf_add(scaled(keep, a), scaled(wf_sub(number(u, 1), keep), value)));
}

/* A rate (f64) as parameter i's group has it. */
static wf_tensor rate_of(const update *u, int i, wf_tensor rate) {
    const double factor = u->group[i] ? u->group[i]->lr : 0;
    return factor == 0 || factor == 1 ? rate : wf_mul_scalar(rate, factor);
}

static double decay_of(const update *u, int i) {
    if (u->group[i] && u->group[i]->no_decay) return 0;
    return u->group[i] && u->group[i]->decay != 0 ? u->group[i]->decay : u->o.weight_decay;
}

static void descend(const update *u, int i, wf_tensor direction) {
    set_weight(u, i, wf_sub(u->w[i], scaled(rate_of(u, i, u->lr), direction)));
}

/* The gradient with the decay added. */
static wf_tensor decayed(const update *u, int i) {
    if (decay_of(u, i) == 0) return u->d[i];
    return wf_add(u->d[i], wf_mul_scalar(u->w[i], decay_of(u, i)));
}

/* w (1 - lr decay): decoupled decay. */
static wf_tensor shrunk(const update *u, int i) {
    if (decay_of(u, i) == 0) return u->w[i];
    const wf_tensor lost = wf_mul_scalar(rate_of(u, i, u->lr), decay_of(u, i));
    return scaled(wf_sub(number(u, 1), lost), u->w[i]);
}

/* --- rules: the update of parameter i --------------------------------------------------------- */

typedef void rule(const update *u, int i);

static void sgd(const update *u, int i) {
    wf_tensor g = decayed(u, i);
    if (u->o.momentum != 0) {
        const wf_tensor b = state(u, "momentum", i);
        const wf_tensor now = wf_add(wf_mul_scalar(b, u->o.momentum), g);
        set(u, b, now);
        g = u->o.nesterov ? wf_add(g, wf_mul_scalar(now, u->o.momentum)) : now;
    }
    descend(u, i, g);
}

/* The step of Adam from w along gradient g. */
static void adam_from(const update *u, int i, wf_tensor w, wf_tensor g) {
    const wf_tensor m = average(u, state(u, "m", i), u->o.beta1, g);
    const wf_tensor v = average(u, state(u, "v", i), u->o.beta2, wf_square(g));
    const wf_tensor size = wf_add_scalar(scaled(u->root, wf_sqrt(v)), u->o.eps);
    set_weight(u, i, wf_sub(w, wf_div(scaled(rate_of(u, i, u->rate), m), size)));
}

static void adam(const update *u, int i) { adam_from(u, i, u->w[i], decayed(u, i)); }

static void adamw(const update *u, int i) { adam_from(u, i, shrunk(u, i), u->d[i]); }

static void adagrad(const update *u, int i) {
    const wf_tensor g = decayed(u, i), s = state(u, "square", i), now = wf_add(s, wf_square(g));
    set(u, s, now);
    descend(u, i, wf_div(g, wf_add_scalar(wf_sqrt(now), u->o.eps)));
}

static void lion(const update *u, int i) {
    const wf_tensor g = u->d[i], m = state(u, "m", i);
    const wf_tensor mixed =
        wf_add(wf_mul_scalar(m, u->o.beta1), wf_mul_scalar(g, 1 - u->o.beta1));
    average(u, m, u->o.beta2, g);
    set_weight(u, i, wf_sub(shrunk(u, i), scaled(rate_of(u, i, u->lr), wf_sign(mixed))));
}

static void rmsprop(const update *u, int i) {
    const wf_tensor g = decayed(u, i);
    wf_tensor s = average(u, state(u, "square", i), u->o.alpha, wf_square(g));
    /* E[g^2] - E[g]^2 is not negative but for rounding, from which sqrt must be kept. */
    if (u->o.centered)
        s = wf_relu(wf_sub(s, wf_square(average(u, state(u, "mean", i), u->o.alpha, g))));
    wf_tensor step = wf_div(g, wf_add_scalar(wf_sqrt(s), u->o.eps));
    if (u->o.momentum != 0) {
        const wf_tensor b = state(u, "momentum", i);
        step = wf_add(wf_mul_scalar(b, u->o.momentum), step);
        set(u, b, step);
    }
    descend(u, i, step);
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

/* An i64 counter among the buffers. */
static wf_tensor counter(const update *u, const char *name) {
    return wf_param_absolute(u->g, u->p, name, WF_SCALAR, (wf_init){.kind = WF_INIT_CONSTANT},
                             &(wf_param_opt){.role = WF_ROLE_OPTIMIZER, .dtype = WF_I64});
}

static void count_step(update *u) {
    const wf_tensor step = counter(u, "optimizer.step");
    u->step = wf_add(step, wf_scalar(u->g, WF_I64, 1));
    set(u, step, u->step);
}

/* Gradients become the mean over o.accumulate runs, of which the last one is due. */
static void accumulate(update *u) {
    const wf_tensor micro = counter(u, "optimizer.micro"), zero = wf_scalar(u->g, WF_I64, 0);
    const wf_tensor now = wf_add(micro, wf_scalar(u->g, WF_I64, 1));
    u->due = wf_greater_equal(now, wf_scalar(u->g, WF_I64, (double)u->o.accumulate));
    wf_assign(micro, wf_select(u->due, zero, now));
    for (int i = 0; i < u->n; i++) {
        const wf_tensor sum = state(u, "sum", i);
        const wf_tensor part = wf_mul_scalar(u->d[i], 1 / (double)u->o.accumulate);
        u->d[i] = wf_add(sum, part);
        wf_assign(sum, wf_select(u->due, wf_scalar(u->g, wf_dtype_of(sum), 0), u->d[i]));
    }
}

static void adam_scalars(update *u) {
    const wf_tensor t = wf_cast(u->step, WF_F64);
    u->rate = wf_div(u->lr, bias_correction(u->o.beta1, t));
    u->root = wf_rsqrt(bias_correction(u->o.beta2, t));
}

/* --- the whole -------------------------------------------------------------------------------- */

/* The first group whose pattern fits the name; NULL if none does. */
static const wf_param_group *find_group(const update *u, const char *name) {
    for (int k = 0; k < u->o.n_groups; k++)
        if (fnmatch(u->o.group[k].pattern, name, 0) == 0) return &u->o.group[k];
    return NULL;
}

/* A pattern that fits nothing is a misspelt one. */
static bool check_groups(const update *u) {
    if (u->o.n_groups < 0 || (u->o.n_groups > 0 && !u->o.group)) {
        wf_graph_fail(u->g, "optimizer: %d groups at NULL", u->o.n_groups);
        return false;
    }
    for (int k = 0; k < u->o.n_groups; k++) {
        const wf_param_group *group = &u->o.group[k];
        bool fits = false;
        for (uint32_t i = 0; i < u->p->n && group->pattern; i++)
            fits |= u->p->entry[i].info.role == WF_ROLE_PARAM &&
                    fnmatch(group->pattern, u->p->entry[i].info.name, 0) == 0;
        if (fits && group->lr >= 0 && group->decay >= 0) continue;
        if (fits)
            wf_graph_fail(u->g, "optimizer: group \"%s\" has lr %g and decay %g; they must not be "
                                "negative", group->pattern, group->lr, group->decay);
        else
            wf_graph_fail(u->g, "optimizer: no trainable parameter is called \"%s\"; names are "
                                "like \"%s\"", group->pattern ? group->pattern : "(NULL)",
                          u->p->n ? u->p->entry[0].info.name : "layer.weight");
        return false;
    }
    return true;
}

/* The trainable parameters that the graph uses and no group freezes: u->w, u->entry, u->group,
 * u->n. */
static bool gather(update *u) {
    const size_t n = u->p->n + 1;
    u->w = calloc(n, sizeof *u->w);
    u->d = calloc(n, sizeof *u->d);
    u->entry = calloc(n, sizeof *u->entry);
    u->group = calloc(n, sizeof *u->group);
    if (!u->w || !u->d || !u->entry || !u->group) {
        wf_graph_fail(u->g, "optimizer: out of memory for %u parameters", u->p->n);
        return false;
    }
    if (!check_groups(u)) return false;
    bool frozen = false;
    for (uint32_t i = 0; i < u->p->n; i++) {
        u->w[u->n] = wf_entry_leaf(&u->p->entry[i], u->g);
        if (!wf_ok(u->w[u->n])) continue;
        u->group[u->n] = find_group(u, u->p->entry[i].info.name);
        if (u->group[u->n] && u->group[u->n]->frozen) frozen = true;
        else u->entry[u->n++] = i;
    }
    if (u->n == 0)
        wf_graph_fail(u->g, frozen ? "optimizer: the groups freeze every parameter of the graph"
                                   : "optimizer: the graph uses no trainable parameter of these "
                                     "parameters; build its layers with them first");
    return u->n > 0;
}

/* betas in [0, 1), nothing negative or NaN. */
static bool check(wf_graph *g, const wf_optimizer_opt *o) {
    const bool ok = o->lr >= 0 && o->clip_norm >= 0 && o->clip_value >= 0 && o->momentum >= 0 &&
                    o->beta1 > 0 && o->beta1 < 1 && o->beta2 > 0 && o->beta2 < 1 && o->eps >= 0 &&
                    o->weight_decay >= 0 && o->alpha > 0 && o->alpha < 1 && o->average >= 0 &&
                    o->average < 1 && o->accumulate >= 0;
    if (!ok)
        wf_graph_fail(g, "optimizer: an option is out of range: beta1 %g, beta2 %g, alpha %g must "
                         "be in (0, 1), average %g in [0, 1), all others not negative",
                      o->beta1, o->beta2, o->alpha, o->average);
    return ok;
}

/* What the kinds differ in: the rule, whether it needs bias corrections, and defaults. */
typedef struct kind {
    rule *apply;
    bool is_adam;
    double beta2, eps; /* 0: 0.999, 1e-8 */
} kind;

static wf_tensor optimize(update *u, wf_tensor loss, const kind *k) {
    const wf_tensor none = {u->g, 0};
    u->lr = u->o.lr == 0 ? wf_cast(wf_input(u->g, "lr", WF_F32, WF_SCALAR), WF_F64)
                         : number(u, u->o.lr);
    if (!gather(u)) return none;
    if (wf_grad(loss, u->w, u->n, u->d)) return wf_graph_fail(u->g, "%s", wf_error());
    if (u->o.accumulate > 1) accumulate(u);
    clip(u);
    if (k->is_adam || u->o.average != 0) count_step(u);
    if (k->is_adam) adam_scalars(u);
    for (int i = 0; i < u->n; i++) k->apply(u, i);
    return wf_cast(u->norm, wf_dtype_of(loss));
}

static wf_tensor run(wf_params *p, wf_tensor loss, wf_optimizer_opt o, kind k) {
    wf_graph *g = loss.graph;
    if (!wf_ok(loss)) return (wf_tensor){g, 0};
    if (!p) return wf_graph_fail(g, "optimizer: the parameters are NULL");
    if (o.beta1 == 0) o.beta1 = 0.9;
    if (o.beta2 == 0) o.beta2 = k.beta2 == 0 ? 0.999 : k.beta2;
    if (o.alpha == 0) o.alpha = 0.99;
    if (o.eps == 0) o.eps = k.eps == 0 ? 1e-8 : k.eps;
    if (!check(g, &o)) return (wf_tensor){g, 0};
    update u = {.g = g, .p = p, .o = o};
    wf_scope_push(g, "optimizer");
    const wf_tensor norm = optimize(&u, loss, &k);
    wf_scope_pop(g);
    free(u.w);
    free(u.d);
    free(u.entry);
    free(u.group);
    return norm;
}

wf_tensor wf_nn_sgd(wf_params *p, wf_tensor loss, wf_optimizer_opt o) {
    return run(p, loss, o, (kind){.apply = sgd});
}
wf_tensor wf_nn_adam(wf_params *p, wf_tensor loss, wf_optimizer_opt o) {
    return run(p, loss, o, (kind){.apply = adam, .is_adam = true});
}
wf_tensor wf_nn_adamw(wf_params *p, wf_tensor loss, wf_optimizer_opt o) {
    return run(p, loss, o, (kind){.apply = adamw, .is_adam = true});
}
wf_tensor wf_nn_rmsprop(wf_params *p, wf_tensor loss, wf_optimizer_opt o) {
    return run(p, loss, o, (kind){.apply = rmsprop});
}
wf_tensor wf_nn_adagrad(wf_params *p, wf_tensor loss, wf_optimizer_opt o) {
    return run(p, loss, o, (kind){.apply = adagrad, .eps = 1e-10});
}
wf_tensor wf_nn_lion(wf_params *p, wf_tensor loss, wf_optimizer_opt o) {
    return run(p, loss, o, (kind){.apply = lion, .beta2 = 0.99});
}
