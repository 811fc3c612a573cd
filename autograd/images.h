// Rows that are images (ImageShape of core/shape.h). Convolution, its two adjoints and pooling. As in
// matrices.h at least one operand is a Var, and an Array beside it is data as the images and no data as the
// weights.
#pragma once

#include <concepts>

#include "autograd/matrices.h"
#include "autograd/ops.h"

namespace lowvar {

/// A window of height x width pixels that moves over an image by `stride` pixels, down and across, and
/// `padding` pixels beyond the edges. Those beyond are zeros, or no pixels for a maximum.
struct Window {
  ImageShape image;
  int height, width;
  int stride = 1, padding = 0;

  /// How many places it has, down and across.
  int rows() const { return (image.height + 2 * padding - height) / stride + 1; }
  int cols() const { return (image.width + 2 * padding - width) / stride + 1; }
  /// The numbers in it, and the image with `channels` numbers for each place.
  int size() const { return height * width * image.channels; }
  ImageShape result(int channels) const { return {rows(), cols(), channels}; }
};

namespace detail {

/// The index of an operation that moves a window, and back.
const int* keep(Arena& arena, const Window& w);
Window window_of(const int* index);
/// Throws unless w fits its image, and x [n x HWC] is rows of that.
void check_window(const char* op, const Window& w, Shape x, At at);

/// b is null where there is no bias.
template <class T>
Var<T> record_conv2d(const Operand<T>& x, const Operand<T>& W, const Operand<T>* b, const Window& w);
template <class T>
Var<T> record_conv2d_transpose(const Operand<T>& g, const Operand<T>& W, const Window& w);
template <class T>
Var<T> record_conv2d_weights(const Operand<T>& x, const Operand<T>& g, const Window& w);

/// Calls f(place, pixel) for each pixel of the image that the window holds at each of its places, in order.
void for_pixels(const Window& w, auto&& f) {
  for (int i = 0, place = 0; i < w.rows(); ++i)
    for (int j = 0; j < w.cols(); ++j, ++place)
      for (int k = 0; k < w.height; ++k)
        for (int l = 0; l < w.width; ++l) {
          const int row = i * w.stride - w.padding + k, col = j * w.stride - w.padding + l;
          if (row >= 0 && row < w.image.height && col >= 0 && col < w.image.width)
            f(place, row * w.image.width + col);
        }
}

}  // namespace detail

// ---- Convolution ----

/// The inner products of F filters W [kh kw C x F] with the window at each of its H' x W' places, and a bias
/// b [1 x F] where there is one: of images x [n x HWC], [n x H'W'F]. (Cross-correlation, as everywhere in
/// machine learning.) Patches of images are laid out for one matrix product after another, in scratch of
/// fixed size, and again in the backward pass: the tape holds none.
template <class X, class M, class B, class T = detail::ScalarOf<X, M, B>>
requires OperandOf<X, T> && OperandOf<M, T> && OperandOf<B, T> Var<T> conv2d(const X& x, const M& W,
                                                                             const B& b, const Window& window,
                                                                             At at = At::current()) {
  const Operand<T> bias(b, at);
  return detail::record_conv2d(Operand<T>(x, at), Operand<T>(W, at), &bias, window);
}
template <class X, class M, class T = detail::ScalarOf<X, M>>
requires OperandOf<X, T> && OperandOf<M, T> Var<T> conv2d(const X& x, const M& W, const Window& window,
                                                          At at = At::current()) {
  return detail::record_conv2d<T>(Operand<T>(x, at), Operand<T>(W, at), nullptr, window);
}

/// The adjoint of conv2d in x, which widens images: of g [n x H'W'F] and W [kh kw C x F], [n x HWC].
template <class G, class M, class T = detail::ScalarOf<G, M>>
requires OperandOf<G, T> && OperandOf<M, T> Var<T> conv2d_transpose(const G& g, const M& W,
                                                                    const Window& window,
                                                                    At at = At::current()) {
  return detail::record_conv2d_transpose(Operand<T>(g, at), Operand<T>(W, at), window);
}
/// The adjoint of conv2d in W: of x [n x HWC] and g [n x H'W'F], [kh kw C x F].
template <class X, class G, class T = detail::ScalarOf<X, G>>
requires OperandOf<X, T> && OperandOf<G, T> Var<T> conv2d_weights(const X& x, const G& g,
                                                                  const Window& window,
                                                                  At at = At::current()) {
  return detail::record_conv2d_weights(Operand<T>(x, at), Operand<T>(g, at), window);
}

// ---- Pooling ----

/// The largest number of each channel in the window at each of its places, [n x HWC] -> [n x H'W'C]; the
/// derivative goes to the first of equal ones. A NaN is larger than any number.
template <class T>
Var<T> max_pool2d(Var<T> x, const Window& window, At at = At::current());

struct SpreadPool2d;

struct SumPool2d : Map {  // index: the window
  static constexpr const char* name = "sum_pool2d";
  using adjoint = SpreadPool2d;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape y_shape, T* y) {
    const Window w = detail::window_of(index);
    const int channels = w.image.channels;
    for (int r = 0; r < x_shape.rows; ++r, x += x_shape.cols, y += y_shape.cols)
      detail::for_pixels(w, [&](int place, int pixel) {
        for (int c = 0; c < channels; ++c) y[place * channels + c] += x[pixel * channels + c];
      });
  }
  static bool own_rows(Shape, Shape) { return true; }
  static constexpr Window window{{4, 5, 2}, 3, 2, 2, 1};
  static constexpr MapShapes examples[] = {{{2, 40}, {2, 12}}};
  static auto example(auto x, Shape) { return sum_pool2d(x, window); }
};
/// The sum of each channel in the window at each of its places, [n x HWC] -> [n x H'W'C].
template <class T>
Var<T> sum_pool2d(Var<T> x, const Window& w, At at = At::current()) {
  detail::check_window("sum_pool2d", w, x.shape(), at);
  const int cols = w.rows() * w.cols() * w.image.channels;
  return record_map<SumPool2d>(x, detail::keep(x.record()->arena, w), {x.rows(), cols}, at);
}
/// Its mean, in which pixels beyond the edges count as zeros.
template <class T>
Var<T> mean_pool2d(Var<T> x, const Window& w, At at = At::current()) {
  return sum_pool2d(x, w, at) * (T(1) / static_cast<T>(w.height * w.width));
}

struct SpreadPool2d : Map {
  static constexpr const char* name = "spread_pool2d";
  using adjoint = SumPool2d;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape y_shape, T* y) {
    const Window w = detail::window_of(index);
    const int channels = w.image.channels;
    for (int r = 0; r < x_shape.rows; ++r, x += x_shape.cols, y += y_shape.cols)
      detail::for_pixels(w, [&](int place, int pixel) {
        for (int c = 0; c < channels; ++c) y[pixel * channels + c] += x[place * channels + c];
      });
  }
  static bool own_rows(Shape, Shape) { return true; }
  static constexpr MapShapes examples[] = {{{2, 12}, {2, 40}}};
  static auto example(auto x, Shape) { return spread_pool2d(x, SumPool2d::window); }
};
/// The adjoint of sum_pool2d, [n x H'W'C] -> [n x HWC].
template <class T>
Var<T> spread_pool2d(Var<T> x, const Window& w, At at = At::current()) {
  const Shape y{x.rows(), w.image.height * w.image.width * w.image.channels};
  detail::check_window("spread_pool2d", w, y, at);
  const int cols = w.rows() * w.cols() * w.image.channels;
  expect(x.cols() == cols, "spread_pool2d: ", x.shape(), " is not rows of ", w.result(w.image.channels), ", ",
         cols, " numbers", at);
  return record_map<SpreadPool2d>(x, detail::keep(x.record()->arena, w), y, at);
}

using Pools = List<SumPool2d, SpreadPool2d>;

}  // namespace lowvar
