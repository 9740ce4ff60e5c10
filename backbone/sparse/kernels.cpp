// Convolutions of which only some rows (output channels) and columns (input channels) are asked for, float32, on a CPU.
//
// A map is a list of planes: channel c stands at planes[c], its H * W pixels in a row. So rows and columns are lists of
// channels, at any granularity and for free; a reused channel is a plane that nobody touches. A convolution is a matrix
// product of weights [rows][columns] and pixels [columns][pixels]: the pixels of the live columns are packed into panels
// (for each tap of the kernel: the plane, moved, and zero beyond its borders), then tiles of ROWS x (TILE vectors) are
// kept in registers while the columns pass by. Written in GCC's and clang's vector types: the width comes from the flags
// that this file is compiled with, once for every kind of CPU (build.py).
//
// Planes are as long as a multiple of 16 floats, and 16 * 64 floats before and behind a map may be read.
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int W = 16, ROWS = 8, TILE = 3;
#elif defined(__AVX__)
constexpr int W = 8, ROWS = 4, TILE = 3;
#else
constexpr int W = 4, ROWS = 4, TILE = 3;
#endif
constexpr int DEPTH = 384;    // columns in a panel: ROWS rows of weights stay in L1
constexpr int PIXELS = 192;   // in a panel: it stays in L2
constexpr int LEFT = W / 4;   // pixels behind the last whole vector that are cheaper one by one

typedef float V __attribute__((vector_size(4 * W)));
typedef int32_t VI __attribute__((vector_size(4 * W)));
static inline V load(const float* p) { V v; std::memcpy(&v, p, sizeof v); return v; }
static inline void store(float* p, V v) { std::memcpy(p, &v, sizeof v); }
// Pixels from p on, zero where their bit is not set: bits[0] speaks of the first 16 pixels of the plane, p is its ``at``-th.
static inline V masked(const float* p, const uint16_t* bits, long at) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(bits[at / 16], p);
#else
  VI a, lane; std::memcpy(&a, p, sizeof a);
  for (int i = 0; i < W; i++) lane[i] = 1 << i;
  a &= ((bits[at / 16] >> at % 16) - VI{} & lane) == lane;
  V v; std::memcpy(&v, &a, sizeof v); return v;
#endif
}
static inline V between(V v, float low, float high) {
  const V l = low - V{}, h = high - V{};
  v = v > l ? v : l;
  return v < h ? v : h;
}
static inline V activated(V v, int kind) { return between(v, kind ? 0 : -INFINITY, kind == 2 ? 6 : INFINITY); }
static inline float activated(float v, int kind) {
  if (kind && v < 0) v = 0;
  return kind == 2 && v > 6 ? 6 : v;
}
static inline float sum(V v) { float s = 0; for (int i = 0; i < W; i++) s += v[i]; return s; }

enum Kind : int64_t { CONV, DEPTHWISE, MAX, AVERAGE, MEAN, COPY, ZERO, DECIDE };

// One operation. Lists of channels come with a pointer to their length: both change from frame to frame.
struct Op {
  int64_t kind;
  float* const* in;         // planes of the input
  float* const* out;        // planes of the output
  float* const* residual;   // planes that are added, or null
  const float* weight;      // [out][tap][in], of a depthwise one [channel][tap]
  const float* bias;
  const int32_t* rows;      // output channels asked for
  const int64_t* num_rows;
  const int32_t* columns;   // live input channels
  const int64_t* num_columns;
  const uint16_t* masks;    // [tap][pixels / 16]: a bit is set where the tap lies inside the map
  const int64_t* moves;     // [tap]: from the output's pixel to the input's, in floats, within its phase
  const int64_t* phases;    // [tap]: which phase of a strided input
  float* phase_planes;      // room for them, [in][stride^2][phase_stride]
  struct Site* site;        // whose decisions are taken
  const int64_t* decisions;
  int64_t phase_stride, weight_stride,  // floats from one to the next
       channels, height, width, out_height, out_width, taps, kernel, stride, top, left, activation;
};

// What decisions mean for the channels of a site's y, see choice.py, which says the same in Python.
struct Part { int64_t first, stop; int32_t *used, *late; int64_t *num_used, *num_late; };  // what one operation writes
struct Site {
  int64_t channels, group_size, raw, has_previous, clears, num_parts;
  const Part* parts;
  uint8_t* ready;    // [channel]: y stands ready to be reused
  uint8_t* alive;    // [channel]: passed on
  uint8_t* clean;    // [channel]: its plane is zero
  int32_t *live, *stale;  // lists: passed on; dead but not zero yet, where that must be
  int64_t *num_live, *num_stale;
};

// False: a number that is no decision.
static bool choose(Site& s, const int64_t* decisions) {
  enum { USE, REUSE, SKIP };
  static thread_local std::vector<uint8_t> used, late;
  used.assign(s.channels, 0); late.assign(s.channels, 0);
  int64_t live = 0, stale = 0;
  for (int64_t c = 0; c < s.channels; c++) {
    const int64_t d = decisions[c / s.group_size];
    if (d < USE || d > SKIP) return false;
    const bool use = d == USE, reuse = d == REUSE && s.has_previous && (s.raw || s.ready[c]);
    used[c] = use;
    late[c] = reuse && !s.ready[c];
    if (use || reuse) { s.live[live++] = c; s.clean[c] = 0; }
    else if (s.clears && !s.clean[c]) { s.stale[stale++] = c; s.clean[c] = 1; }
    s.alive[c] = use || reuse;
    s.ready[c] = s.raw ? use : use || reuse;
  }
  for (const Part* p = s.parts; p < s.parts + s.num_parts; p++) {
    int64_t u = 0, l = 0;
    for (int64_t c = p->first; c < p->stop; c++) {
      if (used[c]) p->used[u++] = c - p->first;
      if (late[c]) p->late[l++] = c - p->first;
    }
    *p->num_used = u; *p->num_late = l;
  }
  *s.num_live = live; *s.num_stale = stale; s.has_previous = 1;
  return true;
}

// ---- threads ----------------------------------------------------------------------------------------------------------

// Workers that share numbered tasks. They wait a moment awake, then asleep.
class Pool {
 public:
  template <class F> void run(int threads, int tasks, F task) {
    if (threads < 2 || tasks < 2) { for (int i = 0; i < tasks; i++) task(0, i); return; }
    while ((int)workers_.size() < threads - 1) { int id = workers_.size() + 1; workers_.emplace_back([this, id] { work(id); }); }
    call_ = [](void* f, int id, int i) { (*static_cast<F*>(f))(id, i); };
    task_ = &task; tasks_ = tasks; next_ = 0; limit_ = threads; busy_ = (int)workers_.size();
    { std::lock_guard<std::mutex> lock(mutex_); round_++; }
    wake_.notify_all();
    share(0);
    for (int spin = 0; busy_.load(std::memory_order_acquire); spin++) spin < 2000 ? pause() : std::this_thread::yield();
  }
  ~Pool() { { std::lock_guard<std::mutex> lock(mutex_); stop_ = true; round_++; } wake_.notify_all(); for (auto& w : workers_) w.join(); }
 private:
  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  void share(int id) { for (int i; (i = next_.fetch_add(1)) < tasks_;) call_(task_, id, i); }
  void work(int id) {
    for (int64_t seen = 0;;) {
      for (int spin = 0; spin < 2000 && round_.load(std::memory_order_acquire) == seen; spin++) pause();
      { std::unique_lock<std::mutex> lock(mutex_); wake_.wait(lock, [&] { return round_.load() != seen; }); seen = round_; }
      if (stop_) return;
      if (id < limit_) share(id);
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int64_t> round_{0};
  std::atomic<int> next_{0}, busy_{0};
  int tasks_ = 0, limit_ = 0;
  bool stop_ = false;
  void* task_ = nullptr;
  void (*call_)(void*, int, int) = nullptr;
};
static Pool pool;

// What a thread works in.
struct Scratch {
  float* panel = static_cast<float*>(std::aligned_alloc(64, sizeof(float) * DEPTH * (PIXELS + W)));
  std::vector<float> left = std::vector<float>(LEFT * (DEPTH * 16 + W));
  std::vector<int32_t> index;           // of every column: where its weights stand in a row
  std::vector<const float*> planes;     // and its pixels
  std::vector<const uint16_t*> masks;
  ~Scratch() { std::free(panel); }
};
static Scratch& scratch() { static thread_local Scratch s; return s; }

// ---- convolution ------------------------------------------------------------------------------------------------------

// R rows x N vectors: += weight[row][index[j]] * panel[j].
template <int R, int N>
static void tile(const float* const* weight, const int32_t* index, int depth, const float* panel, float* const* out,
                 const float* const* residual, const float* bias, bool first, bool last, int activation) {
  V a[R][N];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 3
    for (int v = 0; v < N; v++) a[r][v] = first ? bias[r] - V{} : load(out[r] + v * W);
  const float* w[R];
  for (int r = 0; r < R; r++) w[r] = weight[r];
  if (last) {
    for (int r = 0; r < R; r++)
      for (int v = 0; v < N; v++) {
        __builtin_prefetch(out[r] + v * W, 1, 2);
        if (residual) __builtin_prefetch(residual[r] + v * W, 0, 2);
      }
  }
  for (int j = 0; j < depth; j++, panel += N * W) {
    const long k = index[j];
    V x[N];
#pragma GCC unroll 3
    for (int v = 0; v < N; v++) x[v] = load(panel + v * W);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const V b = w[r][k] - V{};
#pragma GCC unroll 3
      for (int v = 0; v < N; v++) a[r][v] += b * x[v];
    }
  }
  if (last && residual) {
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 3
      for (int v = 0; v < N; v++) a[r][v] += load(residual[r] + v * W);
  }
  const float low = last && activation ? 0 : -INFINITY, high = last && activation == 2 ? 6 : INFINITY;
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 3
    for (int v = 0; v < N; v++) store(out[r] + v * W, between(a[r][v], low, high));
}

// R rows x P pixels, along the weights: sums of weight[row][k] * x[pixel][k], k < depth.
template <int R>
static void dots(const float* const* weight, long depth, const float* x, long x_stride, int pixels, float* const* out,
                 const float* const* residual, const float* bias, bool first, bool last, int activation) {
  for (int p = 0; p < pixels; p++, x += x_stride) {
    V a[R] = {};
    for (long k = 0; k < depth; k += W) {
      const V v = load(x + k);
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) a[r] += load(weight[r] + k) * v;
    }
    for (int r = 0; r < R; r++) {
      float y = sum(a[r]) + (first ? bias[r] : out[r][p]);
      if (last) y = activated(residual ? y + residual[r][p] : y, activation);
      out[r][p] = y;
    }
  }
}

// N vectors of pixels, from vector v of the pixels behind ``from`` on, of each column.
template <int N> static void pack(const Scratch& s, long k0, long depth, long from, long v, bool borders, float* to) {
  for (long j = k0; j < k0 + depth; j++, to += N * W) {
    const float* x = s.planes[j] + v * W;
    const uint16_t* bits = s.masks[j];
#pragma GCC unroll 3
    for (int i = 0; i < N; i++) store(to + i * W, borders ? masked(x + i * W, bits, from + (v + i) * W) : load(x + i * W));
  }
}

typedef void (*Pack)(const Scratch&, long, long, long, long, bool, float*);
typedef void (*Tile)(const float* const*, const int32_t*, int, const float*, float* const*, const float* const*, const float*, bool, bool, int);
typedef void (*Dots)(const float* const*, long, const float*, long, int, float* const*, const float* const*, const float*, bool, bool, int);
template <int R> struct Tiles {
  static void fill(Tile (*t)[TILE + 1], Dots* d) { t[R][1] = tile<R, 1>; t[R][2] = tile<R, 2>; t[R][3] = tile<R, 3>; d[R] = dots<R>; Tiles<R - 1>::fill(t, d); }
};
template <> struct Tiles<0> { static void fill(Tile (*)[TILE + 1], Dots*) {} };
static struct Table {
  Tile tiles[ROWS + 1][TILE + 1]; Dots dots[ROWS + 1]; Pack packs[TILE + 1] = {nullptr, pack<1>, pack<2>, pack<3>};
  Table() { Tiles<ROWS>::fill(tiles, dots); }
} table;

// Where column (tap, c) begins, as the output sees it.
static inline const float* plane(const Op& o, int tap, int c) {
  const float* p = o.phases ? o.phase_planes + (c * o.stride * o.stride + o.phases[tap]) * o.phase_stride : o.in[c];
  return p + o.moves[tap];
}

// Pixels [from, from + pixels) of rows [row0, row1) of the list.
static void convolve(const Op& o, long from, long vectors, int left, long row0, long row1) {
  Scratch& s = scratch();
  const long num_columns = *o.num_columns, all = o.taps * num_columns, area = o.out_height * o.out_width;
  const long padded = (area + 15) / 16 * 16;
  s.index.resize(all); s.planes.resize(all); s.masks.resize(all);
  for (long t = 0, n = 0; t < o.taps; t++)
    for (long j = 0; j < num_columns; j++, n++) {
      s.index[n] = t * o.channels + o.columns[j];
      s.planes[n] = plane(o, t, o.columns[j]) + from;
      s.masks[n] = o.masks + t * (padded / 16);
    }
  const long parts = (all + DEPTH - 1) / DEPTH, most = parts ? (all + parts - 1) / parts : 1;
  for (long k0 = 0; k0 == 0 || k0 < all; k0 += most) {
    const long depth = all - k0 < most ? all - k0 : most;
    const bool first = k0 == 0, last = k0 + most >= all;
    float* panel = s.panel;
    for (long v = 0; v < vectors; v += TILE)  // tile by tile: a tile's columns stand in a row
      table.packs[vectors - v < TILE ? vectors - v : TILE](s, k0, depth, from, v, o.taps > 1, panel + v * W * depth);
    const long lo = depth ? s.index[k0] : 0, span = depth ? s.index[k0 + depth - 1] - lo + 1 : 0, room = (span + W - 1) / W * W;
    if (left) {
      s.left.assign(left * room + W, 0);
      for (long j = 0; j < depth; j++) {
        const float* x = s.planes[k0 + j] + vectors * W;
        const uint16_t* m = s.masks[k0 + j];
        for (long p = 0, q = from + vectors * W; p < left; p++, q++) if (m[q / 16] >> q % 16 & 1) s.left[p * room + s.index[k0 + j] - lo] = x[p];
      }
    }
    for (long r = row0; r < row1; r += ROWS) {
      const int n = row1 - r < ROWS ? row1 - r : ROWS;
      const float *weight[ROWS], *weight_lo[ROWS], *residual[ROWS]; float* out[ROWS]; float bias[ROWS];
      for (int i = 0; i < n; i++) {
        const int row = o.rows[r + i];
        weight[i] = o.weight + row * o.weight_stride; weight_lo[i] = weight[i] + lo; bias[i] = o.bias[row];
        out[i] = o.out[row] + from; residual[i] = o.residual ? o.residual[row] + from : nullptr;
      }
      const float* const* res = o.residual ? residual : nullptr;
      for (long v = 0; v < vectors; v += TILE) {
        const int m = vectors - v < TILE ? vectors - v : TILE;
        table.tiles[n][m](weight, s.index.data() + k0, depth, panel + v * W * depth, out, res, bias, first, last, o.activation);
        for (int i = 0; i < n; i++) { out[i] += m * W; residual[i] += m * W; }
      }
      if (left) table.dots[n](weight_lo, span, s.left.data(), room, left, out, res, bias, first, last, o.activation);
    }
  }
}

// Every other pixel, and those between.
static void unzip(const float* __restrict x, float* __restrict even, float* __restrict odd, long n) {
  for (long i = 0; i < n; i++) { even[i] = x[2 * i]; odd[i] = x[2 * i + 1]; }
}

// A strided input, apart by what its rows and columns leave when divided by the stride: taps are moves again.
static void split(const Op& o, int c) {
  const long s = o.stride, oh = o.out_height, ow = o.out_width, last = o.taps == 1 ? 1 : s;  // one tap reads one phase
  float* phases = o.phase_planes + c * s * s * o.phase_stride;
  for (long y = 0; y < oh; y++)
    for (long a = 0; a < last && y * s + a < o.height; a++) {
      const float* x = o.in[c] + (y * s + a) * o.width;
      float* to = phases + a * s * o.phase_stride + y * ow;
      if (s == 2 && last == 2) { unzip(x, to, to + o.phase_stride, ow); continue; }
      for (long b = 0; b < last; b++)
        for (long i = 0; i < ow; i++) to[b * o.phase_stride + i] = x[s * i + b];
    }
}

static void conv(const Op& o, int threads) {
  const long rows = *o.num_rows, area = o.out_height * o.out_width;
  if (!rows) return;
  if (o.phases) pool.run(threads, *o.num_columns, [&](int, int j) { split(o, o.columns[j]); });
  int left = area % W;
  long vectors = area / W;
  if (left > LEFT || vectors == 0) { left = 0; vectors = (area + W - 1) / W; }
  const long each = PIXELS / W, blocks = (vectors + each - 1) / each;
  long parts = blocks >= threads ? 1 : (threads + blocks - 1) / blocks;
  const long step = ((rows + parts - 1) / parts + ROWS - 1) / ROWS * ROWS;
  parts = (rows + step - 1) / step;
  pool.run(threads, blocks * parts, [&](int, int i) {
    const long block = i / parts, part = i % parts, v = block * each, n = vectors - v < each ? vectors - v : each;
    convolve(o, v * W, n, block + 1 == blocks ? left : 0, part * step, part * step + step < rows ? part * step + step : rows);
  });
}

// A channel of a depthwise convolution.
template <int TAPS> static void filter(const Op& o, int c) {
  const long area = o.out_height * o.out_width, words = (area + 15) / 16;
  const float* x[TAPS];
  for (int t = 0; t < TAPS; t++) x[t] = plane(o, t, c);
  const float *w = o.weight + c * TAPS, *residual = o.residual ? o.residual[c] : nullptr;
  for (long p = 0; p < area; p += W) {
    V y = o.bias[c] - V{};
#pragma GCC unroll 9
    for (int t = 0; t < TAPS; t++) y += w[t] * masked(x[t] + p, o.masks + t * words, p);
    if (residual) y += load(residual + p);
    store(o.out[c] + p, activated(y, o.activation));
  }
}

static void depthwise(const Op& o, int threads) {
  pool.run(threads, *o.num_rows, [&](int, int j) {
    const int c = o.rows[j];
    if (o.phases) split(o, c);
    o.taps == 9 ? filter<9>(o, c) : o.taps == 25 ? filter<25>(o, c) : filter<49>(o, c);
  });
}

// ---- the rest ---------------------------------------------------------------------------------------------------------

static void pooled(const Op& o, int threads) {
  const long k = o.kernel, s = o.stride, h = o.height, w = o.width;
  const bool max = o.kind == MAX;
  pool.run(threads, *o.num_rows, [&](int, int j) {
    const int c = o.rows[j];
    std::vector<float>& line = scratch().left;
    if ((long)line.size() < w) line.resize(w);
    for (long y = 0; y < o.out_height; y++) {
      const long y0 = y * s - o.top, a = y0 < 0 ? 0 : y0, b = y0 + k < h ? y0 + k : h, rows_seen = (y0 + k < h + o.top ? y0 + k : h + o.top) - y0;
      const float* x = o.in[c] + a * w;
      std::memcpy(line.data(), x, w * sizeof(float));
      for (long r = a + 1; r < b; r++) {
        x += w;
        if (max) for (long i = 0; i < w; i++) line[i] = line[i] > x[i] ? line[i] : x[i];
        else for (long i = 0; i < w; i++) line[i] += x[i];
      }
      float* out = o.out[c] + y * o.out_width;
      for (long q = 0; q < o.out_width; q++) {
        const long x0 = q * s - o.left, l = x0 < 0 ? 0 : x0, r = x0 + k < w ? x0 + k : w;
        float v = line[l];
        if (max) for (long i = l + 1; i < r; i++) v = v > line[i] ? v : line[i];
        else {
          for (long i = l + 1; i < r; i++) v += line[i];
          v /= rows_seen * ((x0 + k < w + o.left ? x0 + k : w + o.left) - x0);
        }
        out[q] = v;
      }
    }
  });
}

// out[0][c]: the average of every plane.
static void mean(const Op& o, int threads) {
  const long area = o.height * o.width;
  pool.run(threads, (o.channels + 63) / 64, [&](int, int i) {
    for (long c = i * 64; c < o.channels && c < i * 64 + 64; c++) {
      V a = {}, b = {};
      long p = 0;
      for (; p + 2 * W <= area; p += 2 * W) { a += load(o.in[c] + p); b += load(o.in[c] + p + W); }
      float s = sum(a + b);
      for (; p < area; p++) s += o.in[c][p];
      o.out[0][c] = s / area;
    }
  });
}

extern "C" {
int width() { return W; }
long size_of_op() { return sizeof(Op); }

// 0; or -1 at a number that is no decision, where it stops.
int run(const Op* ops, int count, int threads) {
  for (const Op* o = ops; o < ops + count; o++) {
    const long bytes = o->height * o->width * sizeof(float);
    switch (o->kind) {
      case CONV: conv(*o, threads); break;
      case DEPTHWISE: depthwise(*o, threads); break;
      case MAX: case AVERAGE: pooled(*o, threads); break;
      case MEAN: mean(*o, threads); break;
      case COPY: for (long j = 0; j < *o->num_rows; j++) std::memcpy(o->out[o->rows[j]], o->in[o->rows[j]], bytes); break;
      case ZERO: for (long j = 0; j < *o->num_rows; j++) std::memset(o->out[o->rows[j]], 0, bytes); break;
      case DECIDE: if (!choose(*o->site, o->decisions)) return -1; break;
    }
  }
  return 0;
}
}
