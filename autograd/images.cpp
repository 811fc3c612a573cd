// Convolutions and pools, each with its value and its rule, for float and double.
#include "autograd/images.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "autograd/functions.h"
#include "autograd/op_list.h"
#include "autograd/primitive.h"
#include "core/blas.h"
#include "core/sums.h"

namespace lowvar {
namespace detail {

using Ints = std::array<int, sizeof(Window) / sizeof(int)>;

const int* keep(Arena& arena, const Window& w) { return keep(arena, std::bit_cast<Ints>(w)); }

Window window_of(const int* index) {
  Ints ints;
  std::copy_n(index, ints.size(), ints.begin());
  return std::bit_cast<Window>(ints);
}

void check_window(const char* op, const Window& w, Shape x, At at) {
  const ImageShape s = w.image;
  expect(s.height > 0 && s.width > 0 && s.channels > 0 && w.height > 0 && w.width > 0 && w.stride > 0 &&
             w.padding >= 0,
         op, ": an image ", s, ", a window ", w.height, "x", w.width, " and its stride ", w.stride,
         " must be positive, and its padding ", w.padding, " not negative", at);
  const std::int64_t high = s.height + std::int64_t{2} * w.padding,
                     wide = s.width + std::int64_t{2} * w.padding;
  expect(w.height <= high && w.width <= wide, op, ": a window ", w.height, "x", w.width,
         " does not fit an image ", high, "x", wide, ", its padding included", at);
  const double places =
      (static_cast<double>(high) / w.stride + 1) * (static_cast<double>(wide) / w.stride + 1);
  const double most = static_cast<double>(std::numeric_limits<int>::max());
  expect(places * std::max(1, x.rows) <= most && places * s.channels <= most &&
             static_cast<double>(w.height) * w.width * s.channels <= most &&
             static_cast<double>(high) * static_cast<double>(wide) * s.channels <= most,
         op, ": ", x.rows, " images ", s, " have too many windows ", w.height, "x", w.width, at);
  const int size = s.height * s.width * s.channels;
  expect(x.cols == size, op, ": ", x, " is not rows of images ", s, ", ", size, " numbers", at);
}

// ---- Convolution: sums over patches ----

/// Places of the window whose patches are laid out at a time.
int places_at_a_time(const Window& w) { return std::clamp(65536 / w.size(), 16, 256); }

/// Of the patches at places [begin, end) of the images' places, one after another: calls f(where in them,
/// where in the images, how many) for each stretch of numbers that lies on an image.
void for_stretches(const Window& w, std::size_t begin, std::size_t end, auto&& f) {
  const auto [height, width, channels] = w.image;
  const auto rows = static_cast<std::size_t>(w.rows()), cols = static_cast<std::size_t>(w.cols());
  const auto image = static_cast<std::size_t>(height) * static_cast<std::size_t>(width * channels);
  int i = static_cast<int>(begin / cols % rows), j = static_cast<int>(begin % cols);
  std::size_t patch = 0, first = begin / cols / rows * image;
  for (std::size_t p = begin; p < end; ++p, patch += static_cast<std::size_t>(w.size())) {
    const int top = i * w.stride - w.padding, left = j * w.stride - w.padding;
    const int from = std::max(0, -left), to = std::min(w.width, width - left);
    for (int k = std::max(0, -top); from < to && k < std::min(w.height, height - top); ++k)
      f(patch + static_cast<std::size_t>((k * w.width + from) * channels),
        first + static_cast<std::size_t>(((top + k) * width + left + from) * channels),
        (to - from) * channels);
    if (++j < w.cols()) continue;
    j = 0;
    if (++i < w.rows()) continue;
    i = 0;
    first += image;
  }
}

/// The patches of images x at places [begin, end), a row each.
template <class T>
void patches(const Window& w, const T* x, std::size_t begin, std::size_t end, T* out) {
  if (w.padding > 0) std::fill_n(out, (end - begin) * static_cast<std::size_t>(w.size()), T(0));
  for_stretches(w, begin, end,
                [&](std::size_t to, std::size_t from, int n) { std::copy_n(x + from, n, out + to); });
}

/// The adjoint: x += what stands in the patches.
template <class T>
void add_patches(const Window& w, const T* patches, std::size_t begin, std::size_t end, T* x) {
  for_stretches(w, begin, end, [&](std::size_t from, std::size_t to, int n) {
    for (int j = 0; j < n; ++j)
      x[to + static_cast<std::size_t>(j)] += patches[from + static_cast<std::size_t>(j)];
  });
}

/// Calls f(begin, end, room for the patches) for all places of the window on `images` images, in shards. The
/// room is the arena's.
template <class T>
void for_shards(const Window& w, int images, Arena& arena, auto&& f) {
  const auto all = static_cast<std::size_t>(images) * static_cast<std::size_t>(w.rows() * w.cols());
  const auto shard = static_cast<std::size_t>(places_at_a_time(w));
  T* room = arena.allocate<T>(std::min(all, shard) * static_cast<std::size_t>(w.size()));
  for (std::size_t begin = 0; begin < all; begin += shard) f(begin, std::min(all, begin + shard), room);
}

/// y (+)= the convolution of x with W.
template <class T>
void convolve(const Window& w, int filters, int images, const T* x, const T* W, bool accumulate, T* y,
              Arena& arena) {
  const auto mark = arena.mark();
  for_shards<T>(w, images, arena, [&](std::size_t begin, std::size_t end, T* room) {
    patches(w, x, begin, end, room);
    gemm(false, false, static_cast<int>(end - begin), filters, w.size(), room, W, T(accumulate),
         y + begin * static_cast<std::size_t>(filters));
  });
  arena.rewind(mark);
}

/// x (+)= its adjoint applied to g.
template <class T>
void convolve_transposed(const Window& w, int filters, int images, const T* g, const T* W, bool accumulate,
                         T* x, Arena& arena) {
  const ImageShape s = w.image;
  const auto mark = arena.mark();
  if (!accumulate) std::fill_n(x, Shape{images, s.height * s.width * s.channels}.size(), T(0));
  for_shards<T>(w, images, arena, [&](std::size_t begin, std::size_t end, T* room) {
    gemm(false, true, static_cast<int>(end - begin), w.size(), filters,
         g + begin * static_cast<std::size_t>(filters), W, T(0), room);
    add_patches(w, room, begin, end, x);
  });
  arena.rewind(mark);
}

/// W (+)= the sum over all places of patch times g's row there.
template <class T>
void convolve_weights(const Window& w, int filters, int images, const T* x, const T* g, bool accumulate, T* W,
                      Arena& arena) {
  const auto mark = arena.mark();
  PairwiseSum<T> sum(arena, Shape{w.size(), filters}.size());
  for_shards<T>(w, images, arena, [&](std::size_t begin, std::size_t end, T* room) {
    patches(w, x, begin, end, room);
    gemm(true, false, w.size(), filters, static_cast<int>(end - begin), room,
         g + begin * static_cast<std::size_t>(filters), T(0), sum.next());
    sum.add();
  });
  sum.finish(W, accumulate);
  arena.rewind(mark);
}

// <conv2d(x, W), g> = <x, conv2d_transpose(g, W)> = <W, conv2d_weights(x, g)>: each of the three is the
// cotangent of an operand of the others.

/// The numbers of rows from `begin` of an operand of samples.
template <class T>
const T* rows_from(const Node<T>& x, int begin) {
  return x.value + Shape{begin, x.shape.cols}.size();
}

template <class T>
struct Conv2d {
  static void pullback(const Frame<T>& f, int i, int begin, int end, const T* g, T* out, bool accumulate) {
    const Window w = window_of(f.y->index);
    const int filters = f.x[1]->shape.cols, images = end - begin;
    if (i == 0) return convolve_transposed(w, filters, images, g, f.x[1]->value, accumulate, out, *f.arena);
    if (i == 1)
      return convolve_weights(w, filters, images, rows_from(*f.x[0], begin), g, accumulate, out, *f.arena);
    const std::size_t places = Shape{images, w.rows() * w.cols()}.size();
    lowvar::sum_columns(g, places, static_cast<std::size_t>(filters), out, accumulate, *f.arena);
  }
  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>> x, int i, Var<T> g) {
    const Window w = window_of(y.node().index);
    if (i == 0) return conv2d_transpose(g, x[1], w);
    if (i == 1) return conv2d_weights(x[0], g, w);
    const ImageShape all = w.result(x[2].cols());  // a window over it sums over its places
    return sum_pool2d(sum_to(g, {1, g.cols()}), {.image = all, .height = all.height, .width = all.width});
  }
  static bool apart(const Frame<T>&, int i, bool of_samples) { return of_samples == (i == 0); }

  static constexpr Op<T> op{
      .name = "conv2d", .pullback = pullback, .pullback_graph = pullback_graph, .apart = apart};
};

template <class T>
struct Conv2dTranspose {
  static void pullback(const Frame<T>& f, int i, int begin, int end, const T* g, T* out, bool accumulate) {
    const Window w = window_of(f.y->index);
    const int filters = f.x[1]->shape.cols, images = end - begin;
    if (i == 0)
      convolve(w, filters, images, g, f.x[1]->value, accumulate, out, *f.arena);
    else
      convolve_weights(w, filters, images, g, rows_from(*f.x[0], begin), accumulate, out, *f.arena);
  }
  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>> x, int i, Var<T> g) {
    const Window w = window_of(y.node().index);
    return i == 0 ? conv2d(g, x[1], w) : conv2d_weights(g, x[0], w);
  }

  static constexpr Op<T> op{.name = "conv2d_transpose",
                            .pullback = pullback,
                            .pullback_graph = pullback_graph,
                            .apart = Conv2d<T>::apart};
};

template <class T>
struct Conv2dWeights {
  static void pullback(const Frame<T>& f, int i, int, int, const T* g, T* out, bool accumulate) {
    const Window w = window_of(f.y->index);
    const int filters = f.y->shape.cols, images = f.x[0]->shape.rows;
    if (i == 0)
      convolve_transposed(w, filters, images, f.x[1]->value, g, accumulate, out, *f.arena);
    else
      convolve(w, filters, images, f.x[0]->value, g, accumulate, out, *f.arena);
  }
  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>> x, int i, Var<T> g) {
    const Window w = window_of(y.node().index);
    return i == 0 ? conv2d_transpose(x[1], g, w) : conv2d(x[0], g, w);
  }

  static constexpr Op<T> op{.name = "conv2d_weights", .pullback = pullback, .pullback_graph = pullback_graph};
};

// ---- Recording ----

/// Throws unless g is rows of what the window makes of its image.
void check_result(const char* op, const Window& w, Shape g, int filters, At at) {
  const double cols = static_cast<double>(w.rows()) * w.cols() * filters;
  expect(g.cols == cols, op, ": ", g, " is not rows of images ", w.result(filters), ", ", cols, " numbers",
         at);
}

template <class T>
Var<T> record_conv2d(const Operand<T>& x, const Operand<T>& W, const Operand<T>* b, const Window& w) {
  const Operand<T> operands[] = {x, W, b ? *b : W};
  Record<T>& record = common_record<T>("conv2d", operands);
  const std::array<int, 3> nodes{node_of(record, x), node_of_matrix(record, W),
                                 b ? node_of_matrix(record, *b) : -1};
  const Shape images = record[nodes[0]].shape, weights = record[nodes[1]].shape;
  const int filters = weights.cols;
  check_window("conv2d", w, images, x.at);
  expect(weights.rows == w.size(), "conv2d: W ", weights, " must have ", w.size(),
         " rows, one for each number of a window ", ImageShape{w.height, w.width, w.image.channels}, x.at);
  if (b) {
    const Shape bias = record[nodes[2]].shape;
    expect(bias == Shape{1, filters}, "conv2d: b ", bias, " must be one row of ", filters, " filters", x.at);
  }
  const std::size_t places = Shape{w.rows(), w.cols()}.size();
  expect(static_cast<double>(places) * filters <= std::numeric_limits<int>::max(), "conv2d: ", places,
         " places and ", filters, " filters make too many columns", x.at);
  T* y = append<T>(record, &Conv2d<T>::op, {nodes.data(), b ? std::size_t{3} : std::size_t{2}},
                   {images.rows, static_cast<int>(places) * filters});
  record.nodes.back().index = keep(record.arena, w);
  if (b)
    for (std::size_t p = 0; p < static_cast<std::size_t>(images.rows) * places; ++p)
      std::copy_n(value_of(record, nodes[2]), filters, y + p * static_cast<std::size_t>(filters));
  convolve(w, filters, images.rows, value_of(record, nodes[0]), value_of(record, nodes[1]), b != nullptr, y,
           record.arena);
  return finish(record, x.at);
}

template <class T>
Var<T> record_conv2d_transpose(const Operand<T>& g, const Operand<T>& W, const Window& w) {
  const Operand<T> operands[] = {g, W};
  Record<T>& record = common_record<T>("conv2d_transpose", operands);
  const std::array<int, 2> nodes{node_of(record, g), node_of_matrix(record, W)};
  const Shape from = record[nodes[0]].shape, weights = record[nodes[1]].shape;
  const ImageShape s = w.image;
  const Shape to{from.rows, s.height * s.width * s.channels};
  check_window("conv2d_transpose", w, to, g.at);
  expect(weights.rows == w.size(), "conv2d_transpose: W ", weights, " must have ", w.size(), " rows", g.at);
  check_result("conv2d_transpose", w, from, weights.cols, g.at);
  T* x = append<T>(record, &Conv2dTranspose<T>::op, nodes, to);
  record.nodes.back().index = keep(record.arena, w);
  convolve_transposed(w, weights.cols, from.rows, value_of(record, nodes[0]), value_of(record, nodes[1]),
                      false, x, record.arena);
  return finish(record, g.at);
}

template <class T>
Var<T> record_conv2d_weights(const Operand<T>& x, const Operand<T>& g, const Window& w) {
  const Operand<T> operands[] = {x, g};
  Record<T>& record = common_record<T>("conv2d_weights", operands);
  const std::array<int, 2> nodes{node_of(record, x), node_of(record, g)};
  const Shape images = record[nodes[0]].shape, from = record[nodes[1]].shape;
  check_window("conv2d_weights", w, images, x.at);
  const int filters = from.cols / (w.rows() * w.cols());
  check_result("conv2d_weights", w, from, filters, x.at);
  expect(from.rows == images.rows, "conv2d_weights: ", images, " and ", from, " must have as many rows",
         x.at);
  T* W = append<T>(record, &Conv2dWeights<T>::op, nodes, {w.size(), filters});
  record.nodes.back().index = keep(record.arena, w);
  convolve_weights(w, filters, images.rows, value_of(record, nodes[0]), value_of(record, nodes[1]), false, W,
                   record.arena);
  return finish(record, x.at);
}

}  // namespace detail

template <class T>
Var<T> max_pool2d(Var<T> x, const Window& w, At at) {
  detail::check_window("max_pool2d", w, x.shape(), at);
  expect(w.padding < w.height && w.padding < w.width, "max_pool2d: a padding of ", w.padding,
         " leaves no pixel in some windows ", w.height, "x", w.width, at);
  const int channels = w.image.channels, m = w.rows() * w.cols() * channels;
  std::vector<int> first(Shape{x.rows(), m}.size(), -1);
  const T* row = x.values().data();
  int* best = first.data();
  for (int r = 0; r < x.rows(); ++r, row += x.cols(), best += m)
    detail::for_pixels(w, [&](int place, int pixel) {
      for (int c = 0; c < channels; ++c) {
        int& k = best[place * channels + c];
        const int j = pixel * channels + c;
        if (k < 0 || detail::larger(row[j], row[k])) k = j;
      }
    });
  return record_map<Pick>(x, detail::keep(x.record()->arena, first), {x.rows(), m}, at);
}

namespace detail {

template <class T>
std::vector<OpEntry<T>> image_entries() {
  using X = std::span<const Operand<T>>;
  static constexpr Window wide = SumPool2d::window, narrow{{3, 3, 1}, 2, 2};
  std::vector<OpEntry<T>> out = {
      listed<T>("conv2d", {{{2, 40}, {12, 3}, {1, 3}}},
                [](X x) { return conv2d(x[0].var, x[1].var, x[2].var, wide); }),
      listed<T>("conv2d", {{{1, 9}, {4, 2}}}, [](X x) { return conv2d(x[0].var, x[1].var, narrow); }),
      listed<T>("conv2d_transpose", {{{2, 18}, {12, 3}}},
                [](X x) { return conv2d_transpose(x[0].var, x[1].var, wide); }),
      listed<T>("conv2d_weights", {{{2, 40}, {2, 18}}},
                [](X x) { return conv2d_weights(x[0].var, x[1].var, wide); }),
      listed<T>("max_pool2d", {{{2, 40}}}, [](X x) { return max_pool2d(x[0].var, wide); }),
  };
  for (auto& each : map_entries<T>(Pools{})) out.push_back(each);
  return out;
}

}  // namespace detail

#define LOWVAR_INSTANTIATE(T)                                                                           \
  template std::vector<OpEntry<T>> detail::image_entries();                                             \
  template Var<T> detail::record_conv2d(const Operand<T>&, const Operand<T>&, const Operand<T>*,        \
                                        const Window&);                                                 \
  template Var<T> detail::record_conv2d_transpose(const Operand<T>&, const Operand<T>&, const Window&); \
  template Var<T> detail::record_conv2d_weights(const Operand<T>&, const Operand<T>&, const Window&);   \
  template Var<T> max_pool2d(Var<T>, const Window&, At);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
