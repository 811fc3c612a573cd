// Grouped gradients. A node of the samples has one adjoint, of unit weight, for rows do not mix. A node of
// the parameters alone has one for each group and weighting; where the two meet, rows are cut into groups and
// weighted.
#include "autograd/grouped.h"

#include <immintrin.h>

#include <algorithm>

#include "autograd/backward.h"
#include "core/array.h"

namespace lowvar {
namespace {

using namespace detail;

template <class T>
void check_column(const char* what, const Var<T>& y, const std::vector<Var<T>>& xs, At at) {
  check_targets(what, y, xs, at);
  expect(y.cols() == 1 && y.node().per_row, what,
         ": y must be one column with a number for each row of data, got ", y.shape(), at);
  for (const auto& x : xs) expect(!x.node().per_row, what, ": x must be a parameter", at);
}

template <class T>
std::size_t count_of(const std::vector<Var<T>>& xs) {
  std::size_t d = 0;
  for (const auto& x : xs) d += x.shape().size();
  return d;
}

/// Writes numbers one after another past the caches: plain stores would read what they replace first. By
/// whole lines, for a line that is written in two pieces goes to memory twice.
template <class T>
class Stream {
 public:
  explicit Stream(T* out)
      : not_ours_(reinterpret_cast<std::uintptr_t>(out) % 64 / sizeof(T)),
        held_(not_ours_),
        to_(out - held_) {}

  /// The next n numbers; the rest of the line they end in is written with what comes then.
  void write(const T* x, std::size_t n) {
    const std::size_t head = std::min(n, line - held_);
    std::copy_n(x, head, waiting_ + held_);
    held_ += head;
    if (held_ < line) return;
    if (not_ours_ > 0)
      put_ours();
    else
      put(waiting_, to_);
    to_ += line;
    std::size_t j = head;
    for (; j + line <= n; j += line, to_ += line) put(x + j, to_);
    held_ = n - j;
    std::copy_n(x + j, held_, waiting_);
  }
  /// What waits is written, and all of it is there for other threads.
  void end() {
    put_ours();
    _mm_sfence();
  }

 private:
  static constexpr std::size_t line = 64 / sizeof(T);

  void put_ours() {
    std::copy(waiting_ + not_ours_, waiting_ + held_, to_ + not_ours_);
    not_ours_ = 0;
  }
  static void put(const T* x, T* to) {
    for (const std::size_t j : {std::size_t{0}, line / 2})
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to + j),
                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + j)));
  }

  std::size_t not_ours_;  // numbers of the first line that stand before `out`
  std::size_t held_;      // those, and the numbers of the line at `to_` that wait for the rest of it
  T* to_;
  T waiting_[line];
};

/// Rows of the samples may not mix, and a parameter may meet them only where all of it may matter to each.
template <class T>
void check_rows(const Frame<T>& f, int k, int n, At at) {
  const Node<T>& operand = *f.x[static_cast<std::size_t>(k)];
  const char* op = f.y->op->name;
  expect(f.y->shape.rows == n, op, ": mixes the rows of samples (", f.y->shape, " against ", n,
         " rows), which grouped gradients keep apart", at);
  const bool apart = f.y->op->apart && f.y->op->apart(f, k);
  expect(!operand.per_row || apart, op, ": operand ", k,
         " mixes the rows of samples, which grouped gradients keep apart (an Array of several rows counts as "
         "samples; Tape::constant makes one that does not)",
         at);
  expect(operand.per_row || apart, op, ": a parameter of shape ", operand.shape, " meets ", n,
         " rows of samples as operand ", k,
         "; grouped gradients know linear, matmul, gather and broadcasting of one row", at);
}

/// Where a parameter, node x, meets the rows: as operand k of node i, whose adjoint is g.
template <class T>
struct Meeting {
  Frame<T> f;
  int i, k, x;
  const T* g;
  bool accumulate;
};

/// What a sweep calls to write the gradients of all groups under all weightings to out [G*K x d].
template <class T>
class GroupedPass {
 public:
  GroupedPass(Record<T>& record, std::span<const int> offset, const Array<T>& weights, std::span<T> out,
              std::size_t d, At at)
      : record_(record), offset_(offset), weights_(weights), out_(out.data()), d_(d), at_(at) {
    int widest = 0, longest = 0;
    for (const auto& node : record.nodes)
      if (node.per_row) widest = std::max(widest, node.shape.cols);
    for (std::size_t g = 0; g + 1 < offset.size(); ++g)
      longest = std::max(longest, offset[g + 1] - offset[g]);
    weighted_ = record.arena.template allocate<T>(Shape{longest, widest}.size());
    put_off_ = out.size_bytes() > larger_than_caches && !record.trap;
  }

  void operator()(const Frame<T>& f, int i, int k, int x, const T* g) {
    if (!f.y->per_row) return pull_back_parameters(f, i, k, x, g);
    check_rows(f, k, offset_.back() - offset_.front(), at_);
    const Node<T>& operand = record_[x];
    if (operand.per_row) {
      const auto [to, accumulate] = open(record_, x, operand.shape.size());
      f.y->op->pullback(f, k, 0, f.y->shape.rows, g, to, accumulate);
      if (record_.trap) check_cotangent(f, k, to, at_);
      return;
    }
    const auto [to, accumulate] = open(record_, x, operand.shape.size() * stack());
    const Meeting<T> meeting{f, i, k, x, g, accumulate};
    if (put_off_ && room(x) && operand.op == nullptr)
      meetings_.push_back(meeting);
    else
      pull_back_meeting(meeting, to);
  }

  /// Writes what was put off.
  void finish() {
    if (!meetings_.empty()) pull_back_row_by_row();
  }

 private:
  static constexpr std::size_t larger_than_caches = 4'000'000;

  std::size_t stack() const { return (offset_.size() - 1) * weights_.shape(1); }
  T* room(int x) const { return record_.room[static_cast<std::size_t>(x)]; }
  /// From one adjoint of node x to the next.
  std::size_t stride(int x) const { return room(x) ? d_ : record_[x].shape.size(); }

  /// Between nodes of the parameters alone: each adjoint by itself.
  void pull_back_parameters(const Frame<T>& f, int i, int k, int x, const T* g) {
    finish();
    put_off_ = false;  // the results hold something already
    auto [to, accumulate] = open(record_, x, record_[x].shape.size() * stack());
    for (std::size_t j = 0; j < stack(); ++j, g += stride(i), to += stride(x)) {
      f.y->op->pullback(f, k, 0, f.y->shape.rows, g, to, accumulate);
      if (record_.trap) check_cotangent(f, k, to, at_);
    }
  }

  /// The rows of a group of an adjoint g of node y, weighted.
  void weigh(const Node<T>& y, const T* g, std::size_t group, std::size_t w) {
    const auto cols = static_cast<std::size_t>(y.shape.cols);
    T* to = weighted_;
    for (int r = offset_[group]; r < offset_[group + 1]; ++r, to += cols) {
      const T weight = weights_(r, w), *row = g + static_cast<std::size_t>(r - offset_.front()) * cols;
      for (std::size_t c = 0; c < cols; ++c) to[c] = weight * row[c];
    }
  }

  /// The cotangent of one group and the weighting of `weighted_`.
  void pull_back_group(const Meeting<T>& m, std::size_t group, T* to) {
    const int begin = offset_[group] - offset_.front(), end = offset_[group + 1] - offset_.front();
    if (begin < end)
      m.f.y->op->pullback(m.f, m.k, begin, end, weighted_, to, m.accumulate);
    else if (!m.accumulate)
      std::fill_n(to, record_[m.x].shape.size(), T(0));
  }

  void pull_back_meeting(const Meeting<T>& m, T* to) {
    for (std::size_t group = 0; group + 1 < offset_.size(); ++group)
      for (std::size_t w = 0; w < weights_.shape(1); ++w, to += stride(m.x)) {
        weigh(*m.f.y, m.g, group, w);
        pull_back_group(m, group, to);
        if (record_.trap) check_cotangent(m.f, m.k, to, at_);
      }
  }

  /// Each row of the result is put together in the cache, from all meetings, then written past it.
  void pull_back_row_by_row() {
    const auto mark = record_.arena.mark();
    T *row = record_.arena.template allocate<T>(d_), *out = out_;
    Stream<T> stream(out);
    std::size_t covered = 0;
    for (const auto& m : meetings_)
      if (!m.accumulate) covered += record_[m.x].shape.size();
    for (std::size_t group = 0; group + 1 < offset_.size(); ++group)
      for (std::size_t w = 0; w < weights_.shape(1); ++w, out += d_) {
        int weighed = -1;
        if (covered < d_) std::copy_n(out, d_, row);
        for (const auto& m : meetings_) {
          if (m.i != weighed) weigh(*m.f.y, m.g, group, w);
          weighed = m.i;
          pull_back_group(m, group, row + (room(m.x) - out_));
        }
        stream.write(row, d_);
      }
    stream.end();
    record_.arena.rewind(mark);
    meetings_.clear();
  }

  Record<T>& record_;
  std::span<const int> offset_;
  const Array<T>& weights_;
  T* out_;
  std::size_t d_;
  At at_;
  T* weighted_;   // room for the rows of a group
  bool put_off_;  // meetings, until the result can be written row by row
  std::vector<Meeting<T>> meetings_;
};

/// Adds |cotangent of operand k due to row r|^2 for each row.
template <class T>
void add_squared_norms(const Frame<T>& f, int k, const T* g, T* out) {
  const auto mark = f.arena->mark();
  const int n = f.y->shape.rows, p = f.x[0]->shape.cols, q = f.y->shape.cols;
  const auto square_of = [](const T* x, std::size_t size) {
    T total = 0;
    for (std::size_t j = 0; j < size; ++j) total += x[j] * x[j];
    return total;
  };
  const std::size_t size = f.x[static_cast<std::size_t>(k)]->shape.size();
  T* part = f.y->op->outer == k ? nullptr : f.arena->template allocate<T>(size);
  for (int r = 0; r < n; ++r) {
    const T* row = g + Shape{r, q}.size();
    if (part) f.y->op->pullback(f, k, r, r + 1, row, part, false);
    out[r] += part ? square_of(part, size)
                   : square_of(row, static_cast<std::size_t>(q)) *
                         square_of(f.x[0]->value + Shape{r, p}.size(), static_cast<std::size_t>(p));
  }
  f.arena->rewind(mark);
}

}  // namespace

template <class T>
void grouped_grad_into(std::span<T> out, Var<T> y, const std::vector<Var<T>>& xs, std::span<const int> offset,
                       const Array<T>& weights, At at) {
  check_column("grouped_grad", y, xs, at);
  const int n = y.rows(), G = static_cast<int>(offset.size()) - 1, first = G < 0 ? 0 : offset.front();
  expect(G >= 0 && first >= 0 && offset.back() == first + n && std::is_sorted(offset.begin(), offset.end()),
         "grouped_grad: offset must rise from ", first, " to ", first + n, at);
  expect(first + n <= shape(weights).rows, "grouped_grad: weights must have ", first + n, " rows, got ",
         shape(weights).rows, at);
  const std::size_t d = count_of(xs);
  const Shape result{G * shape(weights).cols, static_cast<int>(d)};
  expect(out.size() == result.size(), "grouped_grad: the result is ", result, ", not ", out.size(),
         " numbers", at);
  if (out.empty()) return;

  Record<T>& record = *y.record();
  const auto mark = record.arena.mark();
  std::vector<T*> column{out.data()};
  for (const auto& x : xs) column.push_back(column.back() + x.shape().size());
  begin_pass(record, y.index(), xs, [&](std::size_t k) { return column[k]; });
  std::fill_n(open(record, y.index(), y.shape().size()).to, n, T(1));
  GroupedPass<T> pass(record, offset, weights, out, d, at);
  sweep(record, y.index(), pass);
  pass.finish();
  for (std::size_t k = 0; k < xs.size(); ++k) deliver(record, xs[k], result.rows, d, column[k]);
  record.arena.rewind(mark);
}

template <class T>
Array<T> grouped_grad(Var<T> y, const std::vector<Var<T>>& xs, std::span<const int> offset,
                      const Array<T>& weights, At at) {
  expect(!offset.empty() && offset.front() == 0, "grouped_grad: offset must rise from 0 to ", y.rows(), at);
  expect(shape(weights).rows == y.rows(), "grouped_grad: weights must have ", y.rows(), " rows, got ",
         shape(weights).rows, at);
  auto out = Array<T>::from_shape({(offset.size() - 1) * weights.shape(1), count_of(xs)});
  grouped_grad_into(std::span<T>(out.data(), out.size()), y, xs, offset, weights, at);
  return out;
}

template <class T>
Array<T> squared_row_norms(Var<T> y, const std::vector<Var<T>>& xs, At at) {
  check_column("squared_row_norms", y, xs, at);
  check_distinct("squared_row_norms", xs, at);
  Array<T> out = zeros<T>(y.rows(), 1);
  Record<T>& record = *y.record();
  const auto mark = record.arena.mark();
  T* marker = record.arena.template allocate<T>(1);  // adjoints of xs are never written
  begin_pass(record, y.index(), xs, [&](std::size_t) { return marker; });
  std::fill_n(open(record, y.index(), y.shape().size()).to, y.rows(), T(1));
  sweep(record, y.index(), [&](const Frame<T>& f, int, int k, int x, const T* g) {
    const Node<T>& operand = record[x];
    if (f.y->per_row) check_rows(f, k, y.rows(), at);
    const auto [to, accumulate] = open(record, x, operand.shape.size());
    if (operand.per_row) {
      f.y->op->pullback(f, k, 0, y.rows(), g, to, accumulate);
      if (record.trap) check_cotangent(f, k, to, at);
      return;
    }
    expect(f.y->per_row && !accumulate && to == marker, f.y->op->name,
           ": squared_row_norms needs each parameter to meet the rows itself, and once", at);
    add_squared_norms(f, k, g, out.data());
    if (record.trap) check_finite(out.data(), shape(out), at, f.y->op->name, ": a squared norm is");
  });
  record.arena.rewind(mark);
  return out;
}

#define LOWVAR_INSTANTIATE(T)                                                                               \
  template Array<T> grouped_grad(Var<T>, const std::vector<Var<T>>&, std::span<const int>, const Array<T>&, \
                                 At);                                                                       \
  template void grouped_grad_into(std::span<T>, Var<T>, const std::vector<Var<T>>&, std::span<const int>,   \
                                  const Array<T>&, At);                                                     \
  template Array<T> squared_row_norms(Var<T>, const std::vector<Var<T>>&, At);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
