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

/* A linear layer. */
typedef struct {
    const void *panels;  /* ceil(O / PANEL) of (I, PANEL) float32, or of (ceil(I / 2), PANEL, 2) whole numbers of 16
                            bits; after the last output zeros */
    const float *scales; /* of whole numbers (ceil(O / PANEL), ceil(I / GROUP), PANEL); else NULL */
    const float *bias;   /* (O,), and zeros up to the end of the panel */
    int64_t inputs, outputs;
} Product;

/* Rows that are to be multiplied, (n, I); as whole numbers too, where the weight is of such. */
typedef struct {
    const float *exact;
    const int16_t *whole; /* (n, 2 ceil(I / 2)) */
    const float *scales;  /* (n, ceil(I / GROUP)) */
} Rows;

/* Parts of n rows that are gone through one after the other. */
static inline int64_t chunks_of(const Product *product, int64_t n) {
    const int64_t bytes = product->scales ? sizeof(int16_t) : sizeof(float);
    const int64_t rows = CACHED_BYTES / bytes / product->inputs / ROWS * ROWS;
    return parts_of(n, rows > ROWS ? rows : ROWS);
}

/* How many tasks (n, I) -> (n, O) is: each is a panel for rows that go together. */
static inline int64_t product_tasks(const Product *product, int64_t n) {
    return chunks_of(product, n) * panels_of(product->outputs);
}

/* Task `task` of a product: (n, I) -> (n, O), plus the bias, plus a residual (n, O) or NULL, through an activation. */
static void product_task(const Product *product, int64_t task, int64_t n, Rows from, const float *residual,
                         int activation, float *to) {
    const int64_t inputs = product->inputs, width = product->outputs;
    const int64_t panels = panels_of(width), panel = task % panels;
    const int64_t chunks = chunks_of(product, n), chunk = task / panels, column = panel * PANEL;
    const int64_t begin = part_of_rows(n, chunks, chunk), rows = part_of_rows(n, chunks, chunk + 1) - begin;
    const int64_t left = width - column, columns = left < PANEL ? left : PANEL;
    const int64_t blocks = parts_of(rows, ROWS);
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t first = begin + part(rows, blocks, block), end = begin + part(rows, blocks, block + 1);
        float tile[ROWS * PANEL];
        if (product->scales) {
            const int64_t pairs = pairs_of(inputs), groups = groups_of(inputs);
            MULTIPLY_WHOLE[end - first](from.whole + first * pairs * 2, pairs * 2, from.scales + first * groups,
                                        inputs, (const int16_t *)product->panels + panel * pairs * 2 * PANEL,
                                        product->scales + panel * groups * PANEL, tile);
        } else {
            MULTIPLY[end - first](from.exact + first * inputs, inputs, inputs,
                                  (const float *)product->panels + panel * inputs * PANEL, tile);
        }
        for (int64_t row = first; row < end; row++) {
            float *made = tile + (row - first) * PANEL;
            for (int c = 0; c < PANEL; c++) made[c] += product->bias[column + c];
            if (residual)
                for (int64_t c = 0; c < columns; c++) made[c] += residual[row * width + column + c];
            activate(made, PANEL, activation);
            copy_columns(made, columns, to + row * width + column);
        }
    }
}

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

/* Room for rows as whole numbers. */
typedef struct {
    int16_t *whole;
    float *scales;
} Rounded;

static inline int64_t rounded_floats(int64_t n, int64_t inputs) { return n * (pairs_of(inputs) + groups_of(inputs)); }

static inline Rounded rounded_at(float *room, int64_t n, int64_t inputs) {
    return (Rounded){(int16_t *)room, room + n * pairs_of(inputs)};
}

/* What is between a layer's steps, and each thread's own room for attention. */
typedef struct {
    float *query, *key_value, *mixed, *sum, *wide, *spaces; /* (n, D), (N, 2 D), (n, D), (n, D), (n, F); n the most */
    Rounded hidden, rows;                                   /* of (N, D); of (n, D) or (n, F) */
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

/* (n, I) as a product reads them. */
static Rows rows_for(const Product *product, int64_t n, const float *from, Rounded room) {
    const int64_t inputs = product->inputs;
    if (product->scales) {
        SHARED_OUT(int64_t row = 0; row < n; row++)
            round_row(from + row * inputs, inputs, room.whole + row * pairs_of(inputs) * 2,
                      room.scales + row * groups_of(inputs));
    }
    return (Rows){from, room.whole, room.scales};
}

/* (n, I) -> (n, O) in rows of O. */
static void multiply_rows(const Product *product, int64_t n, const float *from, const float *residual, int activation,
                          float *to, const Between *between) {
    const int64_t tasks = product_tasks(product, n);
    const Rows rows = rows_for(product, n, from, between->rows);
    SHARED_OUT(int64_t task = 0; task < tasks; task++)
        product_task(product, task, n, rows, residual, activation, to);
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
    const Rows rows = rows_for(&layer->key_value, all, batch->hidden, between->hidden);
    const Rows asking = some ? rows_for(&layer->query, n, hidden, between->rows) : rows;
    const int64_t queries = product_tasks(&layer->query, n);
    const int64_t tasks = queries + product_tasks(&layer->key_value, all);
    SHARED_OUT(int64_t task = 0; task < tasks; task++) {
        if (task < queries) product_task(&layer->query, task, n, asking, NULL, NOTHING, between->query);
        else product_task(&layer->key_value, task - queries, all, rows, NULL, NOTHING, between->key_value);
    }
    SHARED_OUT(int64_t task = 0; task < batch->sequences * encoder->heads; task++)
        attention_task(encoder, batch, asking_starts, task, between);
    multiply_rows(&layer->output, n, between->mixed, hidden, NOTHING, between->sum, between);
    normalise_rows(encoder, layer, 0, n, between->sum, hidden);
    multiply_rows(&layer->widen, n, hidden, NULL, (int)encoder->activation, between->wide, between);
    multiply_rows(&layer->narrow, n, between->wide, hidden, NOTHING, between->sum, between);
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

enum { EDITION = 2 }; /* one more with every change of what is computed, asked for or given */
enum { DONE, NO_MEMORY, UNKNOWN_ID };

/* For who calls to see whether both mean the same: edition, outputs of a panel, bytes of the structures. */
const int64_t layout[] = {
    EDITION, PANEL, GROUP, LARGEST, sizeof(Product), sizeof(Layer), sizeof(Embeddings), sizeof(Encoder), sizeof(Batch),
};

/* Embeddings, if there are ids, and all layers. */
int run_encoder(const Encoder *encoder, const Batch *batch, int threads) {
    const int64_t tokens = batch->starts[batch->sequences], width = encoder->width, inner = encoder->inner;
    const int64_t wider = inner > width ? inner : width;
    const int64_t asking = batch->asking ? batch->asking_starts[batch->sequences] : 0;
    const int64_t n = asking > tokens ? asking : tokens; /* a token may ask several times */
    Between between = {.space_floats = filled(attention_space(longest_sequence(batch), width / encoder->heads))};
    if (!known(encoder, batch)) return UNKNOWN_ID;
    void *memory = NULL;
    const int64_t count = n * (3 * width + inner) + tokens * 2 * width + threads * between.space_floats +
                          rounded_floats(tokens, width) + rounded_floats(n, wider);
    if (posix_memalign(&memory, 64, (size_t)count * sizeof(float))) return NO_MEMORY;
    between.query = memory;
    between.key_value = between.query + n * width;
    between.mixed = between.key_value + tokens * 2 * width;
    between.sum = between.mixed + n * width;
    between.wide = between.sum + n * width;
    between.spaces = between.wide + n * inner;
    float *rest = between.spaces + threads * between.space_floats;
    between.hidden = rounded_at(rest, tokens, width);
    between.rows = rounded_at(rest + rounded_floats(tokens, width), n, wider);
#pragma omp parallel num_threads(threads)
    {
        if (batch->ids[0]) embed(encoder, batch, between.sum);
        for (int64_t index = 0; index < encoder->layers; index++) run_layer(encoder, batch, index, &between);
    }
    free(memory);
    return DONE;
}
