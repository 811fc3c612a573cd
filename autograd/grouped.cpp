// Grouped gradients. A node of the samples has one adjoint, of unit weight, for rows do not mix; where they
// do inside groups, weights come first, and there is a pass for each weighting. A node of the parameters
// alone has one for each group and weighting; where the two meet, rows are cut into groups and weighted.
#include "autograd/grouped.h"

#include <immintrin.h>

#include <algorithm>

#include "autograd/backward.h"
#include "core/array.h"
#include "core/sums.h"

namespace lowvar {
namespace {

using namespace detail;

/// Which nodes belong to samples. An array, or rows that were gathered, may be data or not: it is if it has
/// as many rows as there are samples, or groups of them on the way.
class Samples {
 public:
  template <class T>
  explicit Samples(const Var<T>& y) : rows_{y.rows()} {}
  /// Rows of the operand and the result of what regroups them.
  void add(int rows) { rows_.push_back(rows); }
  template <class T>
  bool operator()(const Node<T>& node) const {
    return node.data_rows == Node<T>::data_of_any_rows ||
           std::ranges::find(rows_, node.data_rows) != rows_.end();
  }

 private:
  std::vector<int> rows_;
};

template <class T>
void check_column(const char* what, const Var<T>& y, const std::vector<Var<T>>& xs, At at) {
  check_targets(what, y, xs, at);
  const Samples samples(y);
  expect(y.cols() == 1 && (y.rows() == 1 || samples(y.node())), what,
         ": y must be one column with a number for each row of data, got ", y.shape(), at);
  for (const auto& x : xs) expect(y.rows() == 1 || !samples(x.node()), what, ": x must be a parameter", at);
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

/// Throws unless the rows of the samples stay apart, and a parameter meets them only where all of it may
/// matter to each.
template <class T>
void check_apart(const Frame<T>& f, int k, bool of_samples, int n, At at) {
  const char* op = f.y->op->name;
  expect(f.y->shape.rows == n, op, ": mixes the rows of samples (", f.y->shape, " against ", n,
         " rows), which grouped gradients keep apart", at);
  const bool apart = f.y->op->apart && f.y->op->apart(f, k, of_samples);
  expect(!of_samples || apart, op, ": operand ", k,
         " mixes the rows of samples, which grouped gradients keep apart (an Array of as many rows counts as "
         "samples; Tape::constant makes one that does not)",
         at);
  expect(of_samples || apart, op, ": a parameter of shape ", f.x[static_cast<std::size_t>(k)]->shape,
         " meets ", n, " rows of samples as operand ", k,
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

/// Where the gradients of all groups go, under weightings of the rows of y: group j's under weighting w
/// begins at out + (j * weightings + w) * stride. Without weights the adjoints are weighted already.
template <class T>
struct Results {
  T* out;
  std::size_t d, stride, groups, weightings;
  const Array<T>* weights;
  int first;  // row of weights
};

/// What a sweep calls to write them.
template <class T>
class GroupedPass {
 public:
  GroupedPass(Record<T>& record, const Samples& samples, const int* groups, const Results<T>& to, At at)
      : record_(record), samples_(samples), to_(to), at_(at) {
    int widest = 0, longest = 0;
    for (const int i : record.order) widest = std::max(widest, record[i].shape.cols);
    for (std::size_t g = 0; g < to.groups; ++g) longest = std::max(longest, groups[g + 1] - groups[g]);
    if (to.weights) weighted_ = record.arena.template allocate<T>(Shape{longest, widest}.size());
    put_off_ = to.weights && stack() * to.d * sizeof(T) > larger_than_caches && !record.trap;
  }

  void operator()(const Frame<T>& f, int i, int k, int x, const T* g) {
    if (!samples_(*f.y)) return pull_back_parameters(f, i, k, x, g);
    const Node<T>& operand = record_[x];
    const bool of_samples = samples_(operand);
    const int* groups = visit(record_, i)->groups;
    if (of_samples && f.y->op->regroup)
      regroup(f, k, x, groups);
    else
      check_apart(f, k, of_samples, groups[to_.groups], at_);
    if (of_samples) {
      const int*& known = visit(record_, x)->groups;
      if (!f.y->op->regroup) known = groups;
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

  std::size_t stack() const { return to_.groups * to_.weightings; }
  T* room(int x) { return visit(record_, x)->room; }
  /// From one adjoint of node x to the next.
  std::size_t stride(int x) { return room(x) ? to_.stride : record_[x].shape.size(); }

  /// Sets the groups of node x, operand k of what lets rows meet in `groups`.
  void regroup(const Frame<T>& f, int k, int x, const int* groups) {
    int* of_x = record_.arena.template allocate<int>(to_.groups + 1);
    const int*& known = visit(record_, x)->groups;
    expect(f.y->op->regroup(f, k, {groups, to_.groups + 1}, {of_x, to_.groups + 1}) &&
               (known == nullptr || std::equal(of_x, of_x + to_.groups + 1, known)),
           f.y->op->name, ": rows of two groups of samples meet in operand ", k,
           ", which grouped gradients keep apart", at_);
    known = of_x;
  }

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

  /// The rows of a group of an adjoint g of node i, weighted.
  const T* weigh(int i, const T* g, std::size_t group, std::size_t w) {
    const auto cols = static_cast<std::size_t>(record_[i].shape.cols);
    const int* groups = visit(record_, i)->groups;
    const T* row = g + static_cast<std::size_t>(groups[group]) * cols;
    if (to_.weights == nullptr) return row;
    T* to = weighted_;
    for (int r = groups[group]; r < groups[group + 1]; ++r, to += cols, row += cols) {
      const T weight = (*to_.weights)(to_.first + r, w);
      for (std::size_t c = 0; c < cols; ++c) to[c] = weight * row[c];
    }
    return weighted_;
  }

  /// The cotangent of one group, whose weighted rows are g.
  void pull_back_group(const Meeting<T>& m, std::size_t group, const T* g, T* to) {
    const int* groups = visit(record_, m.i)->groups;
    if (groups[group] < groups[group + 1])
      record_[m.i].op->pullback(m.f, m.k, groups[group], groups[group + 1], g, to, m.accumulate);
    else if (!m.accumulate)
      std::fill_n(to, record_[m.x].shape.size(), T(0));
  }

  void pull_back_meeting(const Meeting<T>& m, T* to) {
    for (std::size_t group = 0; group < to_.groups; ++group)
      for (std::size_t w = 0; w < to_.weightings; ++w, to += stride(m.x)) {
        pull_back_group(m, group, weigh(m.i, m.g, group, w), to);
        if (record_.trap) check_cotangent(m.f, m.k, to, at_);
      }
  }

  /// Each row of the result is put together in the cache, from all meetings, then written past it.
  void pull_back_row_by_row() {
    const auto mark = record_.arena.mark();
    const std::size_t d = to_.d;
    T *row = record_.arena.template allocate<T>(d), *out = to_.out;
    Stream<T> stream(out);
    std::size_t covered = 0;
    for (const auto& m : meetings_)
      if (!m.accumulate) covered += record_[m.x].shape.size();
    for (std::size_t group = 0; group < to_.groups; ++group)
      for (std::size_t w = 0; w < to_.weightings; ++w, out += d) {
        int weighed = -1;
        const T* g = nullptr;
        if (covered < d) std::copy_n(out, d, row);
        for (const auto& m : meetings_) {
          if (m.i != weighed) g = weigh(m.i, m.g, group, w);
          weighed = m.i;
          pull_back_group(m, group, g, row + (room(m.x) - to_.out));
        }
        stream.write(row, d);
      }
    stream.end();
    record_.arena.rewind(mark);
    meetings_.clear();
  }

  Record<T>& record_;
  const Samples& samples_;
  Results<T> to_;
  At at_;
  T* weighted_ = nullptr;  // room for the rows of a group
  bool put_off_;           // meetings, until the result can be written row by row
  std::vector<Meeting<T>> meetings_;
};

/// Adds |cotangent of operand k due to row r|^2 for each row.
template <class T>
void add_squared_norms(const Frame<T>& f, int k, const T* g, T* out) {
  const auto mark = f.arena->mark();
  const int n = f.y->shape.rows, p = f.x[0]->shape.cols, q = f.y->shape.cols;
  const std::size_t size = f.x[static_cast<std::size_t>(k)]->shape.size();
  T* part = f.y->op->outer == k ? nullptr : f.arena->template allocate<T>(size);
  for (int r = 0; r < n; ++r) {
    const T* row = g + Shape{r, q}.size();
    if (part) f.y->op->pullback(f, k, r, r + 1, row, part, false);
    out[r] += part ? sum_of_squares(part, size)
                   : sum_of_squares(row, static_cast<std::size_t>(q)) *
                         sum_of_squares(f.x[0]->value + Shape{r, p}.size(), static_cast<std::size_t>(p));
  }
  f.arena->rewind(mark);
}

}  // namespace

template <class T>
void grouped_grad_into(std::span<T> out, Var<T> y, const std::vector<Var<T>>& xs, std::span<const int> offset,
                       const Array<T>& weights, At at) {
  check_column("grouped_grad", y, xs, at);
  const int n = y.rows(), first = offset.empty() ? 0 : offset.front();
  expect(!offset.empty() && first >= 0 && offset.back() == first + n &&
             std::is_sorted(offset.begin(), offset.end()),
         "grouped_grad: offset must rise from ", first, " to ", first + n, at);
  expect(first + n <= shape(weights).rows, "grouped_grad: weights must have ", first + n, " rows, got ",
         shape(weights).rows, at);
  const std::size_t d = count_of(xs);
  const Shape result{side((offset.size() - 1) * weights.shape(1)), side(d)};
  expect(out.size() == result.size(), "grouped_grad: the result is ", result, ", not ", out.size(),
         " numbers", at);
  if (out.empty()) return;

  Record<T>& record = *y.record();
  const auto K = static_cast<std::size_t>(shape(weights).cols);
  const int root = y.index();
  // One pass for the weightings [w, w + count), which come one after another for each group.
  const auto pass = [&](std::size_t w, std::size_t count, bool weigh_first) {
    const Scratch<T> scratch(record);
    const Results<T> to{out.data() + w * d,
                        d,
                        weigh_first ? K * d : d,
                        offset.size() - 1,
                        count,
                        weigh_first ? nullptr : &weights,
                        first};
    std::vector<T*> column{to.out};
    for (const auto& x : xs) column.push_back(column.back() + x.shape().size());
    begin_pass(record, {&root, 1}, xs, [&](std::size_t k) { return column[k]; });
    Samples samples(y);
    bool meet = false;
    for (const int i : record.order)
      if (const Op<T>* op = record[i].op; op && op->regroup) {
        meet = true;
        samples.add(record[i].shape.rows);
        for (const int x : record.operands(i)) samples.add(record[x].shape.rows);
      }
    if (meet && !weigh_first) return false;
    int* groups = record.arena.template allocate<int>(offset.size());
    for (std::size_t g = 0; g < offset.size(); ++g) groups[g] = offset[g] - first;
    if (Visit<T>* v = visit(record, root); v->reached) {
      v->groups = groups;
      if (samples(record[root])) {
        T* adjoint = open(record, root, y.shape().size()).to;
        for (int r = 0; r < n; ++r)
          adjoint[r] = weigh_first ? weights(static_cast<std::size_t>(first + r), w) : T(1);
      } else {  // one row of parameters alone
        T* adjoint = open(record, root, to.groups * count).to;
        for (std::size_t g = 0; g < to.groups; ++g)
          for (std::size_t k = 0; k < count; ++k)
            *adjoint++ = groups[g] < groups[g + 1] ? weights(static_cast<std::size_t>(first), w + k) : T(0);
      }
      GroupedPass<T> pull(record, samples, groups, to, at);
      sweep(record, pull);
      pull.finish();
    }
    for (std::size_t k = 0; k < xs.size(); ++k)
      deliver(record, xs[k], static_cast<int>(to.groups * count), to.stride, column[k]);
    return true;
  };
  if (pass(0, K, false)) return;
  for (std::size_t w = 0; w < K; ++w) pass(w, 1, true);
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
  const Scratch<T> scratch(record);
  T* marker = record.arena.template allocate<T>(1);  // adjoints of xs are never written
  const int root = y.index();
  begin_pass(record, {&root, 1}, xs, [&](std::size_t) { return marker; });
  if (!reached(record, root)) return out;
  const Samples samples(y);
  std::fill_n(open(record, root, y.shape().size()).to, y.rows(), T(1));
  sweep(record, [&](const Frame<T>& f, int, int k, int x, const T* g) {
    const bool of_samples = samples(record[x]);
    if (samples(*f.y)) check_apart(f, k, of_samples, y.rows(), at);
    const auto [to, accumulate] = open(record, x, record[x].shape.size());
    if (of_samples) {
      f.y->op->pullback(f, k, 0, y.rows(), g, to, accumulate);
      if (record.trap) check_cotangent(f, k, to, at);
      return;
    }
    expect(samples(*f.y) && !accumulate && to == marker, f.y->op->name,
           ": squared_row_norms needs each parameter to meet the rows itself, and once", at);
    add_squared_norms(f, k, g, out.data());
    if (record.trap) check_finite(out.data(), shape(out), at, false, f.y->op->name, ": a squared norm is");
  });
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
