// Rows that a model looks at, kept in the type that the world gives them: what a batch stores once and every
// pass gathers from.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "autograd/tape.h"
#include "core/array.h"

namespace lowvar {

/// [n x p] of float64, float32 or uint8; none where a world's states are numbered. A const one may be read by
/// many threads.
class Observations {
 public:
  Observations() = default;
  template <class X>
  Observations(Array<X> rows) : x_(std::move(rows)) {}

  /// f(Array<X>) of the type X that they are.
  template <class F>
  auto visit(F&& f) const {
    return std::visit(std::forward<F>(f), x_);
  }

  int rows() const {
    return visit([](const auto& x) { return shape(x).rows; });
  }
  int cols() const {
    return visit([](const auto& x) { return shape(x).cols; });
  }
  std::size_t size() const {
    return visit([](const auto& x) { return x.size(); });
  }
  bool empty() const { return size() == 0; }

  double operator()(int r, int j) const {
    return visit([&](const auto& x) { return static_cast<double>(x(r, j)); });
  }

  /// `rows` in their order, as numbers of T.
  template <class T>
  Array<T> gather(std::span<const int> rows) const {
    Array<T> out = zeros<T>(side(rows.size()), cols());
    visit([&](const auto& x) {
      for (std::size_t k = 0; k < rows.size(); ++k) copy(row(x, rows[k]), row(out, static_cast<int>(k)));
    });
    return out;
  }
  /// Rows [begin, end) as numbers of T.
  template <class T>
  Array<T> slice(int begin, int end) const {
    Array<T> out = zeros<T>(end - begin, cols());
    visit([&](const auto& x) {
      const std::size_t at = static_cast<std::size_t>(begin) * x.shape(1);
      copy(std::span(x.data() + at, out.size()), values(out));
    });
    return out;
  }
  template <class T>
  Array<T> as() const {
    return slice<T>(0, rows());
  }
  /// The rows themselves where they are numbers of T, else null.
  template <class T>
  const Array<T>* get() const {
    return std::get_if<Array<T>>(&x_);
  }
  template <class T>
  Array<T>* get() {
    return std::get_if<Array<T>>(&x_);
  }
  /// The rows of whatever type, to be stored.
  auto& any() { return x_; }

 private:
  template <class X, class T>
  static void copy(std::span<const X> from, std::span<T> to) {
    std::transform(from.begin(), from.end(), to.begin(), [](X x) { return static_cast<T>(x); });
  }

  std::variant<Array<double>, Array<float>, Array<std::uint8_t>> x_ = zeros<double>(0, 0);
};

/// Row r as doubles, a copy that is const so that nobody writes to it in place of x.
inline const std::vector<double> row(const Observations& x, int r) {
  std::vector<double> out;
  x.visit([&](const auto& rows) {
    const auto of = row(rows, r);
    out.assign(of.begin(), of.end());
  });
  return out;
}

/// Rows as numbers of T: borrowed where they are that already and in their order, gathered at once where not,
/// and pixels, which are many, stretch by stretch where they are looked at. Must outlive the tapes that look
/// at it, and `x` it.
template <class T>
class ObservedRows {
 public:
  explicit ObservedRows(const Observations& x) : borrowed_(x.get<T>()) {
    if (x.get<std::uint8_t>())
      pixels_ = &x;
    else if (!borrowed_)
      gathered_ = x.as<T>();
  }
  ObservedRows(const Observations& x, std::span<const int> rows) {
    if (x.get<std::uint8_t>())
      pixels_ = &x, rows_.assign(rows.begin(), rows.end());
    else
      gathered_ = x.gather<T>(rows);
  }

  /// Rows [begin, end) as data: row r belongs to sample r. No Var where there are no observations.
  Var<T> on(Tape<T>& tape, int begin, int end) const {
    if (pixels_ && pixels_->size()) {
      const auto first = static_cast<std::size_t>(begin), n = static_cast<std::size_t>(end - begin);
      return tape.data(rows_.empty() ? pixels_->slice<T>(begin, end)
                                     : pixels_->gather<T>(std::span(rows_).subspan(first, n)));
    }
    const Array<T>& x = borrowed_ ? *borrowed_ : gathered_;
    return x.size() ? tape.data(borrow(x), begin, end) : Var<T>();
  }

 private:
  const Array<T>* borrowed_ = nullptr;
  Array<T> gathered_ = zeros<T>(0, 0);
  const Observations* pixels_ = nullptr;
  std::vector<int> rows_;
};

}  // namespace lowvar
