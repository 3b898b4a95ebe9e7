/* Feeds: batches of a source in shuffled order, made ahead by a thread; see source.h.
 *
 * A ring of slots; `made` batches have been made since the last seek and `taken` of them have been
 * handed out, made - taken <= slots. The thread fills slot made % slots without the lock, as nobody
 * else touches a slot that is not ready. */
#include "nn/nn.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MESSAGE_BYTES = 1024 };

typedef struct slot {
    void *part[WF_SOURCE_PARTS];
    wf_status status;
    char message[MESSAGE_BYTES];
} slot;

struct wf_feed {
    const wf_source *source;
    wf_feed_opt o;
    int64_t steps;               /* batches an epoch */
    int64_t first;               /* step of batch 0 since the last seek */
    int64_t *order, epoch;       /* the shuffled samples of this epoch; -1: of none yet */
    int64_t *index;              /* (batch) */
    slot *slots;
    int n_slots;
    pthread_t thread;
    bool running, stop;          /* a thread exists; it must end */
    pthread_mutex_t lock;
    pthread_cond_t changed;      /* made, taken or stop */
    int64_t made, taken;
};

/* --- order ------------------------------------------------------------------------------------ */

static uint64_t number(uint64_t key, uint64_t i) {
    uint64_t z = key + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void wf_shuffle(int64_t *index, int64_t n, uint64_t seed, int64_t epoch) {
    const uint64_t key = number(number(seed, 0), (uint64_t)(epoch + 1));
    for (int64_t i = n - 1; i > 0; i--) {
        const uint64_t random = number(key, (uint64_t)i);
        const int64_t j = (int64_t)(((unsigned __int128)random * (uint64_t)(i + 1)) >> 64);
        const int64_t kept = index[i];
        index[i] = index[j];
        index[j] = kept;
    }
}

/* --- making batches --------------------------------------------------------------------------- */

static void make_batch(wf_feed *f, int64_t step, slot *s) {
    const int64_t n = wf_source_count(f->source), epoch = step / f->steps;
    if (epoch != f->epoch) {
        for (int64_t i = 0; i < n; i++) f->order[i] = i;
        if (!f->o.in_order) wf_shuffle(f->order, n, f->o.seed, epoch);
        f->epoch = epoch;
    }
    const int64_t place = step % f->steps * f->o.batch;
    for (int64_t i = 0; i < f->o.batch; i++)
        f->index[i] = f->order[(place + i) * f->o.shards + f->o.shard];
    s->status = wf_source_batch(f->source, f->index, f->o.batch, s->part);
    snprintf(s->message, sizeof s->message, "%s", s->status ? wf_error() : "");
}

static void *work(void *given) {
    wf_feed *f = given;
    pthread_mutex_lock(&f->lock);
    while (!f->stop) {
        if (f->made - f->taken == f->n_slots) {
            pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        const int64_t k = f->made;
        pthread_mutex_unlock(&f->lock);
        make_batch(f, f->first + k, &f->slots[k % f->n_slots]);
        pthread_mutex_lock(&f->lock);
        f->made++;
        pthread_cond_signal(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static void end_thread(wf_feed *f) {
    if (!f->running) return;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    f->running = false;
}

/* Signals are the business of the program's own threads, so this one takes none. */
static wf_status begin_thread(wf_feed *f) {
    sigset_t all, kept;
    sigfillset(&all);
    f->stop = false;
    pthread_sigmask(SIG_SETMASK, &all, &kept);
    const int error = pthread_create(&f->thread, NULL, work, f);
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
    f->running = !error;
    return error ? wf_fail(WF_MEMORY, "no thread to make batches ahead: %s", strerror(error))
                 : WF_OK;
}

/* --- the feed --------------------------------------------------------------------------------- */

static wf_status allocate(wf_feed *f) {
    const int64_t n = wf_source_count(f->source);
    f->order = calloc((size_t)n + 1, sizeof *f->order);
    f->index = calloc((size_t)f->o.batch, sizeof *f->index);
    f->slots = calloc((size_t)f->n_slots, sizeof *f->slots);
    bool whole = f->order && f->index && f->slots;
    for (int i = 0; i < f->n_slots && whole; i++)
        for (int k = 0; k < wf_source_parts(f->source) && whole; k++) {
            size_t bytes;
            whole = !__builtin_mul_overflow(wf_source_bytes(f->source, k), (size_t)f->o.batch,
                                            &bytes) &&
                    (f->slots[i].part[k] = malloc(bytes + 1)) != NULL;
        }
    return whole ? WF_OK : wf_fail(WF_MEMORY, "no memory for batches of %lld samples",
                                   (long long)f->o.batch);
}

wf_status wf_feed_open(wf_feed **out, const wf_source *s, wf_feed_opt o) {
    *out = NULL;
    if (o.shards == 0) o.shards = 1;
    if (o.ahead == 0) o.ahead = 2;
    if (!s || o.batch < 1 || o.shards < 1 || o.shard < 0 || o.shard >= o.shards || o.ahead < 1 ||
        o.ahead > 64)
        return wf_fail(WF_ARGUMENT, "a feed: batch %lld, shard %lld of %lld, %d batches ahead: out "
                       "of range", (long long)o.batch, (long long)o.shard, (long long)o.shards,
                       o.ahead);
    const int64_t steps = wf_source_count(s) / o.shards / o.batch;
    if (steps == 0)
        return wf_fail(WF_ARGUMENT, "%lld samples do not fill a batch of %lld; use more samples or "
                       "a smaller batch", (long long)(wf_source_count(s) / o.shards),
                       (long long)o.batch);
    wf_feed *f = calloc(1, sizeof *f);
    if (!f) return wf_fail(WF_MEMORY, "no memory for a feed");
    *f = (wf_feed){.source = s, .o = o, .steps = steps, .epoch = -1};
    f->n_slots = o.no_thread ? 1 : o.ahead;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    wf_status status = allocate(f);
    if (!status) status = wf_feed_seek(f, 0);
    if (status)
        wf_feed_close(f);
    else
        *out = f;
    return status;
}

void wf_feed_close(wf_feed *f) {
    if (!f) return;
    end_thread(f);
    for (int i = 0; i < f->n_slots && f->slots; i++)
        for (int k = 0; k < WF_SOURCE_PARTS; k++) free(f->slots[i].part[k]);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f->slots);
    free(f->index);
    free(f->order);
    free(f);
}

int64_t wf_feed_steps(const wf_feed *f) { return f->steps; }

wf_status wf_feed_seek(wf_feed *f, int64_t step) {
    if (step < 0) return wf_fail(WF_ARGUMENT, "batch %lld: there is none", (long long)step);
    end_thread(f);
    f->first = step;
    f->made = f->taken = 0;
    return f->o.no_thread ? WF_OK : begin_thread(f);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

wf_status wf_feed_next(wf_feed *f, void *const *out, double *waited_s) {
    const double start = seconds();
    slot *s = &f->slots[f->taken % f->n_slots];
    if (f->o.no_thread) {
        make_batch(f, f->first + f->taken, s);
        f->made++;
    } else {
        pthread_mutex_lock(&f->lock);
        while (f->made == f->taken) pthread_cond_wait(&f->changed, &f->lock);
        pthread_mutex_unlock(&f->lock);
    }
    if (waited_s) *waited_s = seconds() - start;
    const wf_status status = s->status;
    if (status) wf_fail(status, "%s", s->message);
    for (int k = 0; k < wf_source_parts(f->source) && !status; k++)
        memcpy(out[k], s->part[k], wf_source_bytes(f->source, k) * (size_t)f->o.batch);
    pthread_mutex_lock(&f->lock);
    f->taken++;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return status;
}
