/* Token ids in, token ids out: a package of gpt2-edge on ONNX Runtime's C API, and nothing else.
 *
 *   gpt2 PACKAGE [-n COUNT] [--top-k K] [--temperature T] [--seed S] ID...
 *
 * Greedy without --top-k. README.md beside this file says how it is built and what it leaves out.
 * Same seed, same tokens as the other runtimes: parts of a prompt are cut by the rule of
 * spec/prefill.json, and tokens drawn as in spec/sampling.json. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <onnxruntime_c_api.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 64, MOST_LAYERS = 1000, INPUTS = 4 };
enum { PREFILL_CHUNK = 256, TOKEN_GROUP = 16, TOKEN_TILE = 128 };

typedef struct {
  OrtSession *session;
  OrtMemoryInfo *memory;
  int64_t layers, heads, head_size, vocab_size, context_length, eos_id;
  char (*names)[2][NAME]; /* of each layer's key and value: input, output */
  OrtValue **cache;       /* each is past and present at once, so that no step copies it */
  float *logits;          /* [vocab_size], of the last position */
  OrtValue *logits_value; /* the same memory */
  int64_t *ones, *positions; /* [capacity] */
} Model;

typedef struct {
  int64_t count, top_k;
  double temperature;
  uint64_t seed;
} Settings;

static const OrtApi *ort;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "gpt2: %s: ", what);
  for (; *why; why++) putc(*why == '\n' ? ' ' : *why, stderr);
  putc('\n', stderr);
  exit(2);
}

static void check(const char *what, OrtStatus *status) {
  if (status) fail(what, ort->GetErrorMessage(status));
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count + !count, size);
  return memory ? memory : (fail("memory", "there is not enough"), memory);
}

static char *read_manifest(const char *package) {
  char path[4096];
  if (snprintf(path, sizeof path, "%s/manifest.json", package) >= (int)sizeof path)
    fail(package, "the name is too long");
  FILE *file = fopen(path, "rb");
  if (!file) fail(path, strerror(errno));
  char *content = allocate((1 << 20) + 1, 1);
  size_t size = fread(content, 1, 1 << 20, file);
  if (ferror(file) || size == 1 << 20) fail(path, "it is no manifest of a package");
  fclose(file);
  return content;
}

/* Where the value of "name" begins. Enough for manifests that gpt2-edge wrote; whoever takes
 * packages from strangers parses them as JSON, and compares the hashes too. */
static const char *value_of(const char *manifest, const char *name) {
  char key[NAME];
  snprintf(key, sizeof key, "\"%s\"", name);
  const char *found = strstr(manifest, key);
  if (!found) fail(name, "the manifest does not have it");
  return found + strlen(key) + strspn(found + strlen(key), " \t\r\n:[");
}

static int64_t number_of(const char *manifest, const char *name, int64_t most) {
  const char *text = value_of(manifest, name);
  char *end;
  long long value = strtoll(text, &end, 10);
  if (end == text || value < 0 || value > most) fail(name, "the manifest has no such number");
  return value;
}

static OrtValue *tensor(const Model *model, void *data, size_t bytes, const int64_t *shape,
                        size_t rank, ONNXTensorElementDataType type) {
  OrtValue *value;
  check("tensor", ort->CreateTensorWithDataAsOrtValue(model->memory, data, bytes, shape, rank, type,
                                                      &value));
  return value;
}

static OrtValue *integers(const Model *model, int64_t *data, int64_t count, bool batched) {
  int64_t shape[] = {1, count};
  return tensor(model, data, count * sizeof *data, batched ? shape : shape + 1, batched ? 2 : 1,
                ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64);
}

/* The cache's type, and its size in bytes; what is not the graph's is refused as it runs. */
static ONNXTensorElementDataType cache_type(const char *manifest, size_t *bytes) {
  static const struct {
    const char *name;
    ONNXTensorElementDataType type;
    size_t bytes;
  } types[] = {
    {"\"float32\"", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4},
    {"\"float16\"", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, 2},
    {"\"int8\"", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, 1},
  };
  const char *given = value_of(manifest, "cache_dtype");
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    *bytes = types[i].bytes;
    if (!strncmp(given, types[i].name, strlen(types[i].name))) return types[i].type;
  }
  fail("cache_dtype", "it is none that this program knows");
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

static void open_session(Model *model, const char *package, const char *manifest) {
  const char *file = value_of(manifest, "file"), *cache = value_of(manifest, "cache");
  char path[4096];
  int length = (int)strcspn(file + 1, "\"");
  if (*file != '"' || memchr(file + 1, '/', length) || memchr(file + 1, '\\', length))
    fail(package, "its manifest names no graph");
  if (strncmp(cache, "\"shared\"", 8)) fail(package, "it is no package of the fused flavour");
  if (snprintf(path, sizeof path, "%s/%.*s", package, length, file + 1) >= (int)sizeof path)
    fail(package, "the name is too long");

  OrtSessionOptions *options;
  OrtEnv *environment;
  check("environment", ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "gpt2", &environment));
  check("options", ort->CreateSessionOptions(&options));
  check("options", ort->DisableMemPattern(options)); /* it plans anew for every length */
  /* AVX2 without VNNI overflows with signed 8-bit weights; unsigned ones are exact everywhere. */
  check("options", ort->AddSessionConfigEntry(options, "session.x64quantprecision", "1"));
  check(path, ort->CreateSession(environment, path, options, &model->session));
  check("memory", ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &model->memory));
}

static Model open_model(const char *package, int64_t capacity) {
  Model model = {0};
  char *manifest = read_manifest(package);
  model.layers = number_of(manifest, "num_layers", MOST_LAYERS);
  model.heads = number_of(manifest, "num_heads", 10000);
  model.head_size = number_of(manifest, "head_size", 65536);
  model.vocab_size = number_of(manifest, "vocab_size", 10000000);
  model.context_length = number_of(manifest, "context_length", 10000000);
  const char *eos = value_of(manifest, "eos_token_ids");
  model.eos_id = *eos == ']' ? -1 : number_of(manifest, "eos_token_ids", model.vocab_size - 1);
  if (!model.layers || !model.heads || !model.head_size || !model.vocab_size)
    fail(package, "its manifest has a size of 0");
  if (capacity > model.context_length) fail(package, "prompt and -n do not fit into its context");
  size_t bytes;
  ONNXTensorElementDataType type = cache_type(manifest, &bytes);
  bytes *= model.heads * capacity * model.head_size;
  open_session(&model, package, manifest);
  free(manifest);

  model.names = allocate(2 * model.layers, sizeof *model.names);
  for (int64_t i = 0; i < 2 * model.layers; i++) {
    const char *kind = i % 2 ? "value" : "key";
    snprintf(model.names[i][0], NAME, "past_key_values.%" PRId64 ".%s", i / 2, kind);
    snprintf(model.names[i][1], NAME, "present.%" PRId64 ".%s", i / 2, kind);
  }
  int64_t shape[] = {1, model.heads, capacity, model.head_size};
  model.cache = allocate(2 * model.layers, sizeof *model.cache);
  for (int64_t i = 0; i < 2 * model.layers; i++) {
    model.cache[i] = tensor(&model, allocate(bytes, 1), bytes, shape, 4, type);
  }
  int64_t one_position[] = {1, 1, model.vocab_size};
  model.logits = allocate(model.vocab_size, sizeof *model.logits);
  model.logits_value = tensor(&model, model.logits, model.vocab_size * sizeof *model.logits,
                              one_position, 3, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
  model.ones = allocate(capacity, sizeof *model.ones);
  model.positions = allocate(capacity, sizeof *model.positions);
  for (int64_t i = 0; i < capacity; i++) model.ones[i] = 1, model.positions[i] = i;
  return model;
}

/* Feed `count` tokens behind the `past` ones in the cache; the logits are the last one's. */
static void feed(Model *model, int64_t *ids, int64_t count, int64_t past) {
  size_t parts = 2 * model->layers;
  const char *inputs[INPUTS + 2 * MOST_LAYERS] = {"input_ids", "attention_mask", "position_ids",
                                                  "logits_to_keep"};
  const char *outputs[1 + 2 * MOST_LAYERS] = {"logits"};
  OrtValue *given[INPUTS + 2 * MOST_LAYERS], *made[1 + 2 * MOST_LAYERS] = {model->logits_value};
  int64_t keep = 1;
  given[0] = integers(model, ids, count, true);
  given[1] = integers(model, model->ones, past + count, true);
  given[2] = integers(model, model->positions + past, count, true);
  given[3] = integers(model, &keep, 1, false);
  for (size_t i = 0; i < parts; i++) {
    inputs[INPUTS + i] = model->names[i][0], outputs[1 + i] = model->names[i][1];
    given[INPUTS + i] = made[1 + i] = model->cache[i];
  }
  check("run", ort->Run(model->session, NULL, inputs, (const OrtValue *const *)given,
                        INPUTS + parts, outputs, 1 + parts, made));
  for (size_t i = 0; i < INPUTS; i++) ort->ReleaseValue(given[i]);
}

/* Parts start at a multiple of TOKEN_GROUP and leave no token alone: kernels would round it
 * otherwise (docs/ARCHITECTURE.md, "The same logits however a prompt is fed"). */
static void prefill(Model *model, int64_t *ids, int64_t count) {
  for (int64_t done = 0, stop; done < count; done = stop) {
    stop = done + PREFILL_CHUNK < count ? done + PREFILL_CHUNK : count;
    int64_t begin = done - done % TOKEN_GROUP;
    if (stop - begin == 1 && done) begin -= TOKEN_GROUP;
    if (stop - begin > 1 && (stop - begin) % TOKEN_TILE == 1) stop -= 1 + TOKEN_GROUP;
    feed(model, ids + begin, stop - begin, begin);
  }
}

/* Draw `number` (from 0) of the seed: SplitMix64's state is a counter. */
static double draw(uint64_t seed, uint64_t number) {
  uint64_t z = seed + (number + 1) * UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0; /* 2^53 */
}

/* Ids of the k largest logits, largest first; of equals the lower id comes first. */
static void largest(const float *logits, int64_t count, int64_t *ids, int64_t k) {
  int64_t found = 0;
  for (int64_t id = 0; id < count; id++) {
    if (!(logits[id] <= 3.4e38f)) fail("logits", "they are not numbers");
    if (found == k && logits[id] <= logits[ids[k - 1]]) continue;
    int64_t at = found < k ? found++ : k - 1;
    for (; at && logits[ids[at - 1]] < logits[id]; at--) ids[at] = ids[at - 1];
    ids[at] = id;
  }
}

static int64_t choose(const Model *model, const Settings *settings, int64_t number, int64_t *ids,
                      double *weights) {
  int64_t k = settings->top_k;
  largest(model->logits, model->vocab_size, ids, k ? k : 1);
  if (!k) return ids[0];
  double total = 0, cumulative = 0, u = draw(settings->seed, number);
  for (int64_t i = 0; i < k; i++) {
    double below = (double)model->logits[ids[i]] - model->logits[ids[0]];
    total += weights[i] = exp(below / settings->temperature);
  }
  for (int64_t i = 0; i < k; i++)
    if ((cumulative += weights[i] / total) > u) return ids[i];
  return ids[k - 1];
}

static double parsed(const char *name, const char *text, double least, double most) {
  char *end;
  double value = text ? strtod(text, &end) : 0;
  if (!text || end == text || *end || !(value >= least && value <= most))
    fail(name, text ? text : "its value is missing");
  return value;
}

static int64_t whole(const char *name, const char *text, double least, double most) {
  double value = parsed(name, text, least, most);
  if (value != floor(value)) fail(name, text);
  return (int64_t)value;
}

int main(int count, char **arguments) {
  if (count < 3) fail("usage", "gpt2 PACKAGE [-n N] [--top-k K [--temperature T] [--seed S]] ID");
  Settings settings = {.count = 32, .temperature = 1};
  int64_t prompt = 0, *ids = allocate(count, sizeof *ids);
  for (int i = 2; i < count; i++) {
    const char *name = arguments[i], *next = i + 1 < count ? arguments[i + 1] : NULL;
    if (!strcmp(name, "-n")) settings.count = whole(name, next, 1, 1e7), i++;
    else if (!strcmp(name, "--top-k")) settings.top_k = whole(name, next, 1, 1e7), i++;
    else if (!strcmp(name, "--seed")) settings.seed = (uint64_t)whole(name, next, 0, 9e15), i++;
    else if (!strcmp(name, "--temperature"))
      settings.temperature = parsed(name, next, 1e-30, 1e9), i++;
    else ids[prompt++] = whole("token id", name, 0, 1e7);
  }
  if (!prompt) fail("prompt", "it has no token id");
  ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (!ort) fail("ONNX Runtime", "it is older than the header that this was compiled with");

  int64_t capacity = prompt + settings.count;
  Model model = open_model(arguments[1], capacity);
  if (!(ids = realloc(ids, capacity * sizeof *ids))) fail("memory", "there is not enough");
  for (int64_t i = 0; i < prompt; i++)
    if (ids[i] >= model.vocab_size) fail("token id", "it is not in the vocabulary");
  if (settings.top_k > model.vocab_size) settings.top_k = model.vocab_size;
  int64_t *candidates = allocate(settings.top_k + 1, sizeof *candidates);
  double *weights = allocate(settings.top_k, sizeof *weights);

  prefill(&model, ids, prompt);
  for (int64_t number = 0; number < settings.count; number++) {
    int64_t id = choose(&model, &settings, number, candidates, weights);
    printf(number ? " %" PRId64 : "%" PRId64, id);
    fflush(stdout);
    if (id == model.eos_id) break;
    ids[prompt + number] = id;
    if (number + 1 < settings.count) feed(&model, ids + prompt + number, 1, prompt + number);
  }
  putchar('\n');
  return 0;
}
