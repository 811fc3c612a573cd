// The arena, the pool of tapes, and the two backward passes: on numbers, and recorded.
#include "autograd/tape.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <new>

#include "autograd/ops.h"
#include "core/array.h"

namespace lowvar {

// ---- Arena ----

void Arena::Free::operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }

void* Arena::bytes(std::size_t n) {
  n = (n + 63) / 64 * 64;
  while (at_.chunk < chunks_.size() && at_.used + n > chunks_[at_.chunk].size) at_ = {at_.chunk + 1, 0};
  if (at_.chunk == chunks_.size()) {
    const std::size_t size = std::max<std::size_t>(n, std::size_t{1} << 20);
    chunks_.push_back({std::unique_ptr<std::byte[], Free>(new (std::align_val_t{64}) std::byte[size]), size});
  }
  void* p = chunks_[at_.chunk].data.get() + at_.used;
  at_.used += n;
  return p;
}

// ---- Tape ----

namespace {

/// Records outlive their tapes, so that a stale Var can be told from a live one.
template <class T>
struct Pool {
  std::mutex mutex;
  std::vector<std::unique_ptr<Record<T>>> idle;
};

/// Throws NumericalFault at the first NaN or infinity, with the parts of `what` before the number.
template <class T, class... What>
void check_finite(const T* x, Shape shape, At at, const What&... what) {
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (!std::isfinite(x[i]))
      throw NumericalFault(join(what..., " ", x[i], " at row ", i / static_cast<std::size_t>(shape.cols),
                                ", column ", i % static_cast<std::size_t>(shape.cols), " of ", shape, at));
}

template <class T>
std::vector<Var<T>> leaves(std::span<const Array<T>> xs, auto&& leaf) {
  std::vector<Var<T>> out;
  out.reserve(xs.size());
  for (const auto& x : xs) out.push_back(leaf(x));
  return out;
}

template <class T>
Pool<T>& pool() {
  static auto& instance = *new Pool<T>;  // never destroyed: a Var may be asked after main
  return instance;
}

}  // namespace

template <class T>
Tape<T>::Tape(Trap trap) {
  const std::lock_guard lock(pool<T>().mutex);
  auto& idle = pool<T>().idle;
  if (idle.empty()) {
    record_ = std::make_unique<Record<T>>();
  } else {
    record_ = std::move(idle.back());
    idle.pop_back();
  }
  record_->trap = trap == Trap::on;
}

template <class T>
Tape<T>::~Tape() {
  ++record_->generation;
  record_->nodes.clear();
  record_->arena.rewind({});
  const std::lock_guard lock(pool<T>().mutex);
  pool<T>().idle.push_back(std::move(record_));
}

template <class T>
Var<T> Tape<T>::leaf(const T* x, Shape shape, bool parameter, bool per_row, At at) {
  Node<T> node;
  node.shape = shape;
  node.value = x;
  node.needs_gradient = parameter;
  node.per_row = per_row;
  if (record_->trap)
    check_finite(x, shape, at,
                 parameter ? "a parameter"
                 : per_row ? "data"
                           : "a constant",
                 " of the tape is");
  record_->nodes.push_back(node);
  return {record_.get(), static_cast<int>(record_->nodes.size()) - 1};
}

template <class T>
Var<T> Tape<T>::data(const Array<T>& x, int begin, int end, At at) {
  const Shape whole = lowvar::shape(x);
  expect(0 <= begin && begin <= end && end <= whole.rows, "data: rows ", begin, " to ", end, " of ",
         whole.rows, at);
  return leaf(x.data() + Shape{begin, whole.cols}.size(), {end - begin, whole.cols}, false, true, at);
}

template <class T>
std::vector<Var<T>> Tape<T>::parameters(std::span<const Array<T>> xs, At at) {
  return leaves(xs, [&](const Array<T>& x) { return parameter(x, at); });
}

template <class T>
std::vector<Var<T>> Tape<T>::constants(std::span<const Array<T>> xs, At at) {
  return leaves(xs, [&](const Array<T>& x) { return constant(x, at); });
}

// ---- Var ----

template <class T>
const Node<T>& Var<T>::node() const {
  expect(record_ != nullptr, "a Var that was never recorded has no value");
  expect(record_->generation == generation_,
         "a Var was used after its tape had ended: keep its value(), not the Var");
  return record_->nodes[static_cast<std::size_t>(index_)];
}

template <class T>
Array<T> Var<T>::value() const {
  return from_values<T>(rows(), cols(), values());
}

template <class T>
T Var<T>::item(At at) const {
  expect(shape() == Shape{1, 1}, "item: needs a 1x1, got ", shape(), at);
  return node().value[0];
}

template <class T>
Record<T>& common_record(const char* op, std::span<const Operand<T>> operands) {
  Record<T>* record = nullptr;
  for (const Operand<T>& x : operands) {
    if (!x.is_var) continue;
    x.var.node();
    expect(record == nullptr || record == x.var.record(), op, ": operands are of different tapes", x.at);
    record = x.var.record();
  }
  expect(record != nullptr, op, ": needs at least one Var");
  return *record;
}

template <class T>
int node_of(Record<T>& record, const Operand<T>& operand) {
  if (operand.is_var) return operand.var.index();
  Node<T> node;
  node.shape = operand.array ? shape(*operand.array) : Shape{1, 1};
  T* copy = record.arena.template allocate<T>(node.shape.size());
  if (operand.array) {
    std::copy_n(operand.array->data(), node.shape.size(), copy);
    node.per_row = node.shape.rows > 1;
  } else {
    *copy = operand.number;
  }
  node.value = copy;
  record.nodes.push_back(node);
  return static_cast<int>(record.nodes.size()) - 1;
}

template <class T>
Var<T> stop_gradient(Var<T> x) {
  Node<T> node = x.node();
  node.op = nullptr;
  node.operand = {-1, -1, -1};
  node.needs_gradient = false;
  x.record()->nodes.push_back(node);
  return {x.record(), static_cast<int>(x.record()->nodes.size()) - 1};
}

template <class T>
Var<T> finish(Record<T>& record, At at) {
  const Node<T>& node = record.nodes.back();
  if (record.trap) check_finite(node.value, node.shape, at, node.op->name, ": the result is");
  return {&record, static_cast<int>(record.nodes.size()) - 1};
}

// ---- Backward ----

namespace {

template <class T>
Frame<T> frame(Record<T>& record, int i) {
  const Node<T>& y = record.nodes[static_cast<std::size_t>(i)];
  Frame<T> f{&y, {}, &record.arena};
  for (std::size_t k = 0; k < 3; ++k)
    if (y.operand[k] >= 0) f.x[k] = &record.nodes[static_cast<std::size_t>(y.operand[k])];
  return f;
}

/// Which nodes up to y depend on one of xs.
template <class T>
const std::vector<char>& reached_from(Record<T>& record, int y, const std::vector<Var<T>>& xs) {
  auto& reached = record.reached;
  reached.assign(static_cast<std::size_t>(y) + 1, 0);
  for (const auto& x : xs)
    if (x.index() <= y) reached[static_cast<std::size_t>(x.index())] = 1;
  for (std::size_t i = 0; i <= static_cast<std::size_t>(y); ++i) {
    if (!record.nodes[i].needs_gradient) continue;
    for (const int k : record.nodes[i].operand)
      if (k >= 0) reached[i] |= reached[static_cast<std::size_t>(k)];
  }
  return reached;
}

template <class T>
void check_targets(const char* what, const Var<T>& y, const std::vector<Var<T>>& xs, At at) {
  y.node();
  for (const auto& x : xs) {
    x.node();
    expect(x.record() == y.record(), what, ": y and x are of different tapes", at);
    expect(x.node().needs_gradient, what, ": x is neither a parameter nor computed from one", at);
  }
}

template <class T>
void check_scalar(const char* what, const Var<T>& y, At at) {
  expect(y.shape() == Shape{1, 1}, what, ": y must be a 1x1, got ", y.shape(), "; sum it first", at);
}

template <class T>
void check_column(const char* what, const Var<T>& y, const std::vector<Var<T>>& xs, At at) {
  expect(y.cols() == 1 && y.node().per_row, what,
         ": y must be one column with a number for each row of data, got ", y.shape(), at);
  for (const auto& x : xs) expect(!x.node().per_row, what, ": x must be a parameter", at);
}

/// The adjoints of a pass from y, none of them there yet. `at(k)` is where that of xs[k] is to stand.
template <class T>
void begin_pass(Record<T>& record, const Var<T>& y, const std::vector<Var<T>>& xs, auto&& at) {
  const std::size_t nodes = reached_from(record, y.index(), xs).size();
  record.adjoint.assign(nodes, nullptr);
  record.room.assign(nodes, nullptr);
  for (std::size_t k = 0; k < xs.size(); ++k)
    if (const auto i = static_cast<std::size_t>(xs[k].index()); i < nodes) record.room[i] = at(k);
  T*& seed = record.adjoint.back();
  seed = record.room.back();
  if (seed == nullptr) seed = record.arena.template allocate<T>(y.shape().size());
  std::fill_n(seed, y.shape().size(), T(1));
}

/// What was found for x is copied to `to`, unless it stands there; zeros where y does not depend on x.
template <class T>
void deliver(const Record<T>& record, const Var<T>& x, std::size_t offset, T* to) {
  const auto i = static_cast<std::size_t>(x.index());
  const T* from = i < record.adjoint.size() ? record.adjoint[i] : nullptr;
  if (from == nullptr)
    std::fill_n(to, x.shape().size(), T(0));
  else if (from + offset != to)  // asked for twice
    std::copy_n(from + offset, x.shape().size(), to);
}

/// How a pass keeps samples apart. A node of the samples has one adjoint, of unit weight, for rows do not
/// mix. A node of the parameters alone has one for each group and weighting; where the two meet, rows are cut
/// into groups and weighted. Without groups there is one adjoint a node, whatever its rows.
template <class T>
struct Groups {
  std::span<const int> offset;
  const Array<T>* weights;
  std::size_t d;               // from one adjoint of an x to the next
  T* weighted;                 // room for the rows of a group
  T* large;                    // the result [stack x d], where it is larger than the caches; else null
  T* squared_norms = nullptr;  // [n], to which those of each row's cotangents of xs are added instead

  int stack() const { return static_cast<int>((offset.size() - 1) * weights->shape(1)); }
};

/// Copies past the caches, for a result that is larger than they are: plain stores would read it first. By
/// whole lines, for a line that is written in two pieces goes to memory twice.
template <class T>
void stream(const T* from, std::size_t n, T* to) {
  constexpr std::size_t line = 64 / sizeof(T), half = line / 2;
  std::size_t j = 0;
  for (; j < n && reinterpret_cast<std::uintptr_t>(to + j) % 64 != 0; ++j) to[j] = from[j];
  for (; j + line <= n; j += line)
    for (const std::size_t at : {j, j + half})
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to + at),
                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + at)));
  for (; j < n; ++j) to[j] = from[j];
}

/// Where a parameter of xs, node x, meets the rows: as operand k of node i, whose adjoint is g.
template <class T>
struct Meeting {
  int i, k;
  std::size_t x;
  const T* g;
  bool accumulate;
};

/// The cotangent of one group and weighting.
template <class T>
void pull_back_group(const Groups<T>& groups, const Frame<T>& f, const Meeting<T>& m, std::size_t group,
                     std::size_t w, T* to) {
  const int first = groups.offset.front();
  const int begin = groups.offset[group] - first, end = groups.offset[group + 1] - first;
  const auto cols = static_cast<std::size_t>(f.y->shape.cols);
  if (begin == end) {
    if (!m.accumulate) std::fill_n(to, f.x[static_cast<std::size_t>(m.k)]->shape.size(), T(0));
    return;
  }
  T* copy = groups.weighted;
  for (int r = begin; r < end; ++r, copy += cols) {
    const T weight = (*groups.weights)(first + r, w), *row = m.g + static_cast<std::size_t>(r) * cols;
    for (std::size_t c = 0; c < cols; ++c) copy[c] = weight * row[c];
  }
  f.y->op->pullback(f, m.k, begin, end, groups.weighted, to, m.accumulate);
}

/// Those of a large result: each of its rows is put together in the cache, from all meetings, then written
/// past it.
template <class T>
void pull_back_row_by_row(Record<T>& record, const Groups<T>& groups, std::vector<Meeting<T>>& meetings) {
  const auto mark = record.arena.mark();
  T *row = record.arena.template allocate<T>(groups.d), *out = groups.large;
  std::vector<Frame<T>> frames;
  std::size_t covered = 0;
  for (const auto& m : meetings) {
    frames.push_back(frame(record, m.i));
    if (!m.accumulate) covered += record.nodes[m.x].shape.size();
  }
  for (std::size_t group = 0; group + 1 < groups.offset.size(); ++group)
    for (std::size_t w = 0; w < groups.weights->shape(1); ++w, out += groups.d) {
      for (std::size_t k = 0; k < meetings.size(); ++k)
        pull_back_group(groups, frames[k], meetings[k], group, w,
                        row + (record.room[meetings[k].x] - groups.large));
      if (covered == groups.d) {
        stream(row, groups.d, out);
        continue;
      }
      for (const auto& m : meetings) {
        const std::ptrdiff_t column = record.room[m.x] - groups.large;
        if (!m.accumulate) stream(row + column, record.nodes[m.x].shape.size(), out + column);
      }
    }
  _mm_sfence();
  record.arena.rewind(mark);
  meetings.clear();
}

/// Adds |cotangent of operand k due to row r|^2 for each row.
template <class T>
void add_squared_norms(const Frame<T>& f, int k, const T* g, Arena& arena, T* out) {
  const auto mark = arena.mark();
  const int n = f.y->shape.rows, p = f.x[0]->shape.cols, q = f.y->shape.cols;
  const auto square_of = [](const T* x, std::size_t size) {
    T total = 0;
    for (std::size_t j = 0; j < size; ++j) total += x[j] * x[j];
    return total;
  };
  const std::size_t size = f.x[static_cast<std::size_t>(k)]->shape.size();
  T* part = f.y->op->outer == k ? nullptr : arena.allocate<T>(size);
  for (int r = 0; r < n; ++r) {
    const T* row = g + Shape{r, q}.size();
    if (part) f.y->op->pullback(f, k, r, r + 1, row, part, false);
    out[r] += part ? square_of(part, size)
                   : square_of(row, static_cast<std::size_t>(q)) *
                         square_of(f.x[0]->value + Shape{r, p}.size(), static_cast<std::size_t>(p));
  }
  arena.rewind(mark);
}

/// The backward pass from node y, with seeds and rooms set.
template <class T>
void backward(Record<T>& record, int y, const Groups<T>* groups, At at) {
  auto& adjoint = record.adjoint;
  const int n = record.nodes[static_cast<std::size_t>(y)].shape.rows, stack = groups ? groups->stack() : 1;
  bool row_by_row = groups && groups->large && !record.trap;
  std::vector<Meeting<T>> meetings;  // put off
  for (int i = y; i >= 0; --i) {
    const T* g = adjoint[static_cast<std::size_t>(i)];
    const Node<T>& node = record.nodes[static_cast<std::size_t>(i)];
    if (g == nullptr || node.op == nullptr) continue;
    const Frame<T> f = frame(record, i);
    const auto stride = [&](std::size_t j) {
      return groups && record.room[j] ? groups->d : record.nodes[j].shape.size();
    };
    for (int k = 0; k < 3 && node.operand[static_cast<std::size_t>(k)] >= 0; ++k) {
      const auto x = static_cast<std::size_t>(node.operand[static_cast<std::size_t>(k)]);
      if (!record.reached[x]) continue;
      const Node<T>& operand = record.nodes[x];
      const bool each_row = groups && operand.per_row, accumulate = adjoint[x] != nullptr;
      const std::size_t size = operand.shape.size();
      if (!accumulate)
        adjoint[x] =
            record.room[x]
                ? record.room[x]
                : record.arena.template allocate<T>(each_row ? size : size * static_cast<std::size_t>(stack));
      if (groups == nullptr) {
        node.op->pullback(f, k, 0, node.shape.rows, g, adjoint[x], accumulate);
      } else if (!node.per_row) {
        expect(groups->squared_norms == nullptr, node.op->name,
               ": squared_row_norms needs each parameter to meet the rows itself, and once", at);
        if (!meetings.empty()) pull_back_row_by_row(record, *groups, meetings);
        row_by_row = false;  // the results hold something already
        for (std::size_t j = 0; j < static_cast<std::size_t>(stack); ++j)
          node.op->pullback(f, k, 0, node.shape.rows, g + stride(static_cast<std::size_t>(i)) * j,
                            adjoint[x] + stride(x) * j, accumulate);
      } else {
        expect(node.shape.rows == n, node.op->name, ": mixes the rows of samples (", node.shape, " against ",
               n, " rows), which grouped gradients keep apart", at);
        expect(!each_row || node.op->own_rows(f, k), node.op->name, ": operand ", k,
               " mixes the rows of samples, which grouped gradients keep apart", at);
        expect(each_row || node.op->shared(f, k), node.op->name, ": a parameter of shape ", operand.shape,
               " meets ", n, " rows of samples as operand ", k,
               "; grouped gradients know linear, matmul, gather and broadcasting of one row", at);
        if (each_row) {
          node.op->pullback(f, k, 0, n, g, adjoint[x], accumulate);
        } else if (groups->squared_norms) {
          expect(!accumulate && record.room[x] != nullptr, node.op->name,
                 ": squared_row_norms needs each parameter to meet the rows itself, and once", at);
          add_squared_norms(f, k, g, record.arena, groups->squared_norms);
        } else {
          const Meeting<T> meeting{i, k, x, g, accumulate};
          if (row_by_row && record.room[x] && operand.op == nullptr) {
            meetings.push_back(meeting);
            continue;
          }
          T* to = adjoint[x];
          for (std::size_t group = 0; group + 1 < groups->offset.size(); ++group)
            for (std::size_t w = 0; w < groups->weights->shape(1); ++w, to += stride(x))
              pull_back_group(*groups, f, meeting, group, w, to);
        }
      }
      if (record.trap && !(groups && groups->squared_norms))
        for (std::size_t j = 0; j < (groups && !each_row ? static_cast<std::size_t>(stack) : 1); ++j)
          check_finite(adjoint[x] + stride(x) * j, operand.shape, at, node.op->name,
                       ": backward, the cotangent of operand ", k, " is");
    }
  }
  if (!meetings.empty()) pull_back_row_by_row(record, *groups, meetings);
}

}  // namespace

template <class T>
void grad_into(std::vector<Array<T>>& out, Var<T> y, const std::vector<Var<T>>& xs, At at) {
  check_targets("grad", y, xs, at);
  check_scalar("grad", y, at);
  expect(out.size() == xs.size(), "grad: ", out.size(), " results for ", xs.size(), " xs", at);
  for (std::size_t k = 0; k < xs.size(); ++k)
    expect(shape(out[k]) == xs[k].shape(), "grad: the result ", k, " is ", shape(out[k]), ", not ",
           xs[k].shape(), at);
  Record<T>& record = *y.record();
  const auto mark = record.arena.mark();
  begin_pass(record, y, xs, [&](std::size_t k) { return out[k].data(); });
  backward<T>(record, y.index(), nullptr, at);
  for (std::size_t k = 0; k < xs.size(); ++k) deliver(record, xs[k], 0, out[k].data());
  record.arena.rewind(mark);
}

template <class T>
std::vector<Array<T>> grad(Var<T> y, const std::vector<Var<T>>& xs, At at) {
  check_targets("grad", y, xs, at);
  std::vector<Array<T>> out;
  out.reserve(xs.size());
  for (const auto& x : xs)
    out.push_back(
        Array<T>::from_shape({static_cast<std::size_t>(x.rows()), static_cast<std::size_t>(x.cols())}));
  grad_into(out, y, xs, at);
  return out;
}

template <class T>
std::vector<Var<T>> grad_graph(Var<T> y, const std::vector<Var<T>>& xs, At at) {
  check_targets("grad_graph", y, xs, at);
  check_scalar("grad_graph", y, at);
  Record<T>& record = *y.record();
  const auto& reached = reached_from(record, y.index(), xs);
  std::vector<Var<T>> adjoint(reached.size());
  const auto number = [&](T value) { return Var<T>(&record, node_of(record, Operand<T>(value, at))); };
  adjoint.back() = number(T(1));
  for (int i = y.index(); i >= 0; --i) {
    const Var<T> g = adjoint[static_cast<std::size_t>(i)];
    const Node<T> node = record.nodes[static_cast<std::size_t>(i)];  // a copy: recording moves the nodes
    if (g.record() == nullptr || node.op == nullptr) continue;
    std::array<Var<T>, 3> operands;
    for (std::size_t k = 0; k < 3; ++k)
      if (node.operand[k] >= 0) operands[k] = Var<T>(&record, node.operand[k]);
    for (int k = 0; k < 3 && node.operand[static_cast<std::size_t>(k)] >= 0; ++k) {
      const auto x = static_cast<std::size_t>(node.operand[static_cast<std::size_t>(k)]);
      if (!reached[x]) continue;
      try {
        const Var<T> part = node.op->pullback_graph(Var<T>(&record, i), operands, k, g);
        adjoint[x] = adjoint[x].record() ? adjoint[x] + part : part;
      } catch (const NumericalFault& e) {
        throw NumericalFault(
            join(node.op->name, ": backward, in the cotangent of operand ", k, ", ", e.what(), at));
      }
    }
  }
  std::vector<Var<T>> out;
  for (const auto& x : xs) {
    const auto i = static_cast<std::size_t>(x.index());
    if (i < adjoint.size() && adjoint[i].record())
      out.push_back(adjoint[i]);
    else
      out.push_back(broadcast_to(number(T(0)), x.shape(), at));
  }
  return out;
}

template <class T>
void grouped_grad_into(std::span<T> out, Var<T> y, const std::vector<Var<T>>& xs, std::span<const int> offset,
                       const Array<T>& weights, At at) {
  check_targets("grouped_grad", y, xs, at);
  check_column("grouped_grad", y, xs, at);
  const int n = y.rows(), G = static_cast<int>(offset.size()) - 1, first = G < 0 ? 0 : offset.front();
  expect(G >= 0 && first >= 0 && offset.back() == first + n && std::is_sorted(offset.begin(), offset.end()),
         "grouped_grad: offset must rise from ", first, " to ", first + n, at);
  expect(first + n <= shape(weights).rows, "grouped_grad: weights must have ", first + n, " rows, got ",
         shape(weights).rows, at);
  std::size_t d = 0;
  for (const auto& x : xs) d += x.shape().size();
  const Shape result{G * shape(weights).cols, static_cast<int>(d)};
  expect(out.size() == result.size(), "grouped_grad: the result is ", result, ", not ", out.size(),
         " numbers", at);

  Record<T>& record = *y.record();
  const auto mark = record.arena.mark();
  const auto column = [&](std::size_t k) {
    T* to = out.data();
    for (std::size_t j = 0; j < k; ++j) to += xs[j].shape().size();
    return to;
  };
  begin_pass(record, y, xs, column);
  int widest = 0, longest = 0;
  for (const auto& node : record.nodes) widest = std::max(widest, node.shape.cols);
  for (int k = 0; k < G; ++k) longest = std::max(longest, offset[k + 1] - offset[k]);
  const Groups<T> groups{offset, &weights, d,
                         record.arena.template allocate<T>(Shape{longest, widest}.size()),
                         out.size_bytes() > 4'000'000 ? out.data() : nullptr};
  backward(record, y.index(), &groups, at);
  for (std::size_t k = 0; k < xs.size(); ++k)
    for (std::size_t j = 0; j < static_cast<std::size_t>(result.rows); ++j)
      deliver(record, xs[k], j * d, column(k) + j * d);
  record.arena.rewind(mark);
}

template <class T>
Array<T> grouped_grad(Var<T> y, const std::vector<Var<T>>& xs, std::span<const int> offset,
                      const Array<T>& weights, At at) {
  expect(!offset.empty() && offset.front() == 0, "grouped_grad: offset must rise from 0 to ", y.rows(), at);
  expect(shape(weights).rows == y.rows(), "grouped_grad: weights must have ", y.rows(), " rows, got ",
         shape(weights).rows, at);
  std::size_t d = 0;
  for (const auto& x : xs) d += x.shape().size();
  auto out = Array<T>::from_shape({(offset.size() - 1) * weights.shape(1), d});
  grouped_grad_into(std::span<T>(out.data(), out.size()), y, xs, offset, weights, at);
  return out;
}

template <class T>
Array<T> squared_row_norms(Var<T> y, const std::vector<Var<T>>& xs, At at) {
  check_targets("squared_row_norms", y, xs, at);
  check_column("squared_row_norms", y, xs, at);
  Array<T> out = zeros<T>(y.rows(), 1);
  const Array<T> no_weights = zeros<T>(0, 1);
  const int one_group[] = {0, y.rows()};
  Record<T>& record = *y.record();
  const auto mark = record.arena.mark();
  T* marker = record.arena.template allocate<T>(1);  // adjoints of xs are never written
  begin_pass(record, y, xs, [&](std::size_t) { return marker; });
  const Groups<T> groups{one_group, &no_weights, 0, nullptr, nullptr, out.data()};
  backward(record, y.index(), &groups, at);
  record.arena.rewind(mark);
  return out;
}

#define LOWVAR_INSTANTIATE(T)                                                                               \
  template class Tape<T>;                                                                                   \
  template class Var<T>;                                                                                    \
  template Record<T>& common_record(const char*, std::span<const Operand<T>>);                              \
  template int node_of(Record<T>&, const Operand<T>&);                                                      \
  template Var<T> finish(Record<T>&, At);                                                                   \
  template Var<T> stop_gradient(Var<T>);                                                                    \
  template std::vector<Array<T>> grad(Var<T>, const std::vector<Var<T>>&, At);                              \
  template void grad_into(std::vector<Array<T>>&, Var<T>, const std::vector<Var<T>>&, At);                  \
  template std::vector<Var<T>> grad_graph(Var<T>, const std::vector<Var<T>>&, At);                          \
  template Array<T> grouped_grad(Var<T>, const std::vector<Var<T>>&, std::span<const int>, const Array<T>&, \
                                 At);                                                                       \
  template void grouped_grad_into(std::span<T>, Var<T>, const std::vector<Var<T>>&, std::span<const int>,   \
                                  const Array<T>&, At);                                                     \
  template Array<T> squared_row_norms(Var<T>, const std::vector<Var<T>>&, At);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
