/* BERT's encoder for prediction, all layers in one call: what `flat_encoder.py` computes, without a call for each step.

Every thread goes through the same steps; each step's tasks are shared out as threads become free, and all wait for one
another before the next. The threads are OpenMP's, which in torch's own
packages for Linux are those that torch computes with. What is computed does not depend on
how many there are, nor for a sequence on what stands beside it.

Letters: N tokens of all sequences, S sequences, P tokens that ask in the last layer, n those that ask in a layer,
D hidden width, A heads, F inner width. */

#include <omp.h>
#include <stdlib.h>

#include "attention.h"

typedef struct {
    Product query, key_value, output, widen, narrow;
    const float *norm_weight[2], *norm_bias[2];
} Layer;

/* Word, segment and position: a table each. */
typedef struct {
    const float *table[3];
    int64_t rows[3];
    const float *norm_weight, *norm_bias;
} Embeddings;

typedef struct {
    Embeddings embeddings;
    const Layer *layer;
    int64_t layers, width, heads, inner, activation;
    double eps;
} Encoder;

typedef struct {
    const int64_t *ids[3]; /* (N,) of each table; or NULL: `hidden` is given */
    float *hidden;         /* (N, D): the last hidden states, if all tokens ask */
    const int32_t *starts; /* (S + 1,): where each sequence begins in N, and its end */
    int64_t sequences;
    const int32_t *asking;        /* (P,) in N, never falling; or NULL: all of them */
    const int32_t *asking_starts; /* (S + 1,): where each sequence's begin in P */
    float *asked;                 /* (P, D): their last hidden states */
} Batch;

/* What is between a layer's steps, and each thread's own room for attention. */
typedef struct {
    float *query, *key_value, *mixed, *sum, *wide, *spaces; /* (n, D), (N, 2 D), (n, D), (n, D), (n, F); n the most */
    int64_t space_floats;
} Between;

#define SHARED_OUT _Pragma("omp for schedule(dynamic)") for

/* Attention of head `task % A` in sequence `task / A`: -> (n, D), this head's columns. */
static void attention_task(const Encoder *encoder, const Batch *batch, const int32_t *asking_starts, int64_t task,
                           const Between *between) {
    const int64_t width = encoder->width, sequence = task / encoder->heads, head_width = width / encoder->heads;
    const int64_t column = task % encoder->heads * head_width;
    const int64_t first = batch->starts[sequence], ask = asking_starts[sequence];
    const float *keys = between->key_value + first * 2 * width + column;
    const Head head = {
        .queries = between->query + ask * width + column,
        .query_stride = width,
        .p = asking_starts[sequence + 1] - ask,
        .keys = keys,
        .values = keys + width,
        .stride = 2 * width,
        .t = batch->starts[sequence + 1] - first,
        .width = head_width,
    };
    float *space = between->spaces + omp_get_thread_num() * between->space_floats;
    attend(head, space, between->mixed + ask * width + column, width);
}

/* The ids -> (N, D). */
static void embed(const Encoder *encoder, const Batch *batch, float *sum) {
    const int64_t width = encoder->width, n = batch->starts[batch->sequences];
    const Embeddings *embeddings = &encoder->embeddings;
    SHARED_OUT(int64_t token = 0; token < n; token++) {
        const float *parts[3];
        float *row = sum + token * width;
        for (int k = 0; k < 3; k++) parts[k] = embeddings->table[k] + batch->ids[k][token] * width;
        for (int64_t c = 0; c < width; c++) row[c] = parts[0][c] + parts[1][c] + parts[2][c];
        normalise(row, width, embeddings->norm_weight, embeddings->norm_bias, (float)encoder->eps,
                  batch->hidden + token * width);
    }
}

/* (n, D) -> (n, D). */
static void normalise_rows(const Encoder *encoder, const Layer *layer, int norm, int64_t n, const float *from,
                           float *to) {
    const int64_t width = encoder->width;
    SHARED_OUT(int64_t row = 0; row < n; row++)
        normalise(from + row * width, width, layer->norm_weight[norm], layer->norm_bias[norm], (float)encoder->eps,
                  to + row * width);
}

/* (n, I) -> (n, O) in rows of O. */
static void multiply_rows(const Product *product, int64_t n, const float *from, const float *residual, int activation,
                          float *to) {
    const int64_t tasks = product_tasks(product, n);
    SHARED_OUT(int64_t task = 0; task < tasks; task++)
        product_task(product, task, n, from, residual, activation, to);
}

/* One layer: (N, D), of which n ask -> (n, D), in place; in the last one, where not all ask, in `asked`. */
static void run_layer(const Encoder *encoder, const Batch *batch, int64_t index, const Between *between) {
    const Layer *layer = encoder->layer + index;
    const int some = batch->asking && index == encoder->layers - 1;
    const int32_t *asking_starts = some ? batch->asking_starts : batch->starts;
    const int64_t n = asking_starts[batch->sequences], all = batch->starts[batch->sequences], width = encoder->width;
    float *hidden = some ? batch->asked : batch->hidden;
    if (some) {
        SHARED_OUT(int64_t row = 0; row < n; row++)
            memcpy(hidden + row * width, batch->hidden + batch->asking[row] * width, (size_t)width * sizeof(float));
    }
    const int64_t queries = product_tasks(&layer->query, n);
    const int64_t tasks = queries + product_tasks(&layer->key_value, all);
    SHARED_OUT(int64_t task = 0; task < tasks; task++) {
        if (task < queries) product_task(&layer->query, task, n, hidden, NULL, NOTHING, between->query);
        else product_task(&layer->key_value, task - queries, all, batch->hidden, NULL, NOTHING, between->key_value);
    }
    SHARED_OUT(int64_t task = 0; task < batch->sequences * encoder->heads; task++)
        attention_task(encoder, batch, asking_starts, task, between);
    multiply_rows(&layer->output, n, between->mixed, hidden, NOTHING, between->sum);
    normalise_rows(encoder, layer, 0, n, between->sum, hidden);
    multiply_rows(&layer->widen, n, hidden, NULL, (int)encoder->activation, between->wide);
    multiply_rows(&layer->narrow, n, between->wide, hidden, NOTHING, between->sum);
    normalise_rows(encoder, layer, 1, n, between->sum, hidden);
}

static int64_t longest_sequence(const Batch *batch) {
    int64_t longest = 0;
    for (int64_t s = 0; s < batch->sequences; s++) {
        const int64_t length = batch->starts[s + 1] - batch->starts[s];
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* Whether each id has a row in its table. */
static int known(const Encoder *encoder, const Batch *batch) {
    for (int k = 0; k < 3 && batch->ids[k]; k++)
        for (int64_t token = 0; token < batch->starts[batch->sequences]; token++)
            if (batch->ids[k][token] < 0 || batch->ids[k][token] >= encoder->embeddings.rows[k]) return 0;
    return 1;
}

enum { EDITION = 1 }; /* one more with every change of what is computed, asked for or given */
enum { DONE, NO_MEMORY, UNKNOWN_ID };

/* For who calls to see whether both mean the same: edition, outputs of a panel, bytes of the structures. */
const int64_t layout[] = {
    EDITION, PANEL, sizeof(Product), sizeof(Layer), sizeof(Embeddings), sizeof(Encoder), sizeof(Batch),
};

/* Embeddings, if there are ids, and all layers. */
int run_encoder(const Encoder *encoder, const Batch *batch, int threads) {
    const int64_t tokens = batch->starts[batch->sequences], width = encoder->width;
    const int64_t asking = batch->asking ? batch->asking_starts[batch->sequences] : 0;
    const int64_t n = asking > tokens ? asking : tokens; /* a token may ask several times */
    Between between = {.space_floats = filled(attention_space(longest_sequence(batch), width / encoder->heads))};
    if (!known(encoder, batch)) return UNKNOWN_ID;
    void *memory = NULL;
    const int64_t count = n * (3 * width + encoder->inner) + tokens * 2 * width + threads * between.space_floats;
    if (posix_memalign(&memory, 64, (size_t)count * sizeof(float))) return NO_MEMORY;
    between.query = memory;
    between.key_value = between.query + n * width;
    between.mixed = between.key_value + tokens * 2 * width;
    between.sum = between.mixed + n * width;
    between.wide = between.sum + n * width;
    between.spaces = between.wide + n * encoder->inner;
#pragma omp parallel num_threads(threads)
    {
        if (batch->ids[0]) embed(encoder, batch, between.sum);
        for (int64_t index = 0; index < encoder->layers; index++) run_layer(encoder, batch, index, &between);
    }
    free(memory);
    return DONE;
}
