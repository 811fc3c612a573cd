// The arena, the pool of tapes, and the three backward passes.
#include "autograd/tape.h"

#include <algorithm>
#include <mutex>
#include <new>

#include "autograd/ops.h"

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

template <class T>
Pool<T>& pool() {
  static auto& instance = *new Pool<T>;  // never destroyed: a Var may be asked after main
  return instance;
}

}  // namespace

template <class T>
Tape<T>::Tape() {
  const std::lock_guard lock(pool<T>().mutex);
  auto& idle = pool<T>().idle;
  if (idle.empty()) {
    record_ = std::make_unique<Record<T>>();
  } else {
    record_ = std::move(idle.back());
    idle.pop_back();
  }
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
Var<T> Tape<T>::leaf(const T* x, Shape shape, bool parameter, bool per_row) {
  Node<T> node;
  node.shape = shape;
  node.value = x;
  node.needs_gradient = parameter;
  node.per_row = per_row;
  record_->nodes.push_back(node);
  return {record_.get(), static_cast<int>(record_->nodes.size()) - 1};
}

template <class T>
Var<T> Tape<T>::data(const Array<T>& x, int begin, int end) {
  const Shape whole = lowvar::shape(x);
  expect(0 <= begin && begin <= end && end <= whole.rows, "data: rows ", begin, " to ", end, " of ",
         whole.rows);
  return leaf(x.data() + Shape{begin, whole.cols}.size(), {end - begin, whole.cols}, false, true);
}

template <class T>
std::vector<Var<T>> Tape<T>::parameters(const std::vector<Array<T>>& xs) {
  std::vector<Var<T>> out;
  out.reserve(xs.size());
  for (const auto& x : xs) out.push_back(parameter(x));
  return out;
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

/// Zeros in the arena.
template <class T>
T* zeros_in(Arena& arena, std::size_t n) {
  T* out = arena.allocate<T>(n);
  std::fill_n(out, n, T(0));
  return out;
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

}  // namespace

template <class T>
std::vector<Array<T>> grad(Var<T> y, const std::vector<Var<T>>& xs, At at) {
  check_targets("grad", y, xs, at);
  expect(y.shape() == Shape{1, 1}, "grad: y must be a 1x1, got ", y.shape(), "; sum it first", at);
  Record<T>& record = *y.record();
  const auto mark = record.arena.mark();
  const auto& reached = reached_from(record, y.index(), xs);
  auto& adjoint = record.adjoint;
  adjoint.assign(reached.size(), nullptr);
  auto& room = record.room;  // where the adjoint of a node of xs is to stand: in the result
  room.assign(reached.size(), nullptr);
  std::vector<Array<T>> out;
  out.reserve(xs.size());
  for (const auto& x : xs) {
    out.push_back(
        Array<T>::from_shape({static_cast<std::size_t>(x.rows()), static_cast<std::size_t>(x.cols())}));
    if (const auto i = static_cast<std::size_t>(x.index()); i < room.size()) room[i] = out.back().data();
  }
  const auto place_for = [&](std::size_t i) {
    return room[i] ? room[i] : record.arena.template allocate<T>(record.nodes[i].shape.size());
  };
  adjoint.back() = place_for(adjoint.size() - 1);
  *adjoint.back() = T(1);
  for (int i = y.index(); i >= 0; --i) {
    const T* g = adjoint[static_cast<std::size_t>(i)];
    const Node<T>& node = record.nodes[static_cast<std::size_t>(i)];
    if (g == nullptr || node.op == nullptr) continue;
    const Frame<T> f = frame(record, i);
    for (int k = 0; k < 3 && node.operand[static_cast<std::size_t>(k)] >= 0; ++k) {
      const auto x = static_cast<std::size_t>(node.operand[static_cast<std::size_t>(k)]);
      if (!reached[x]) continue;
      const bool accumulate = adjoint[x] != nullptr;
      if (!accumulate) adjoint[x] = place_for(x);
      node.op->pullback(f, k, 0, node.shape.rows, g, adjoint[x], accumulate);
    }
  }
  for (std::size_t k = 0; k < xs.size(); ++k) {
    const auto i = static_cast<std::size_t>(xs[k].index());
    const T* from = i < adjoint.size() ? adjoint[i] : nullptr;
    if (from == nullptr)
      out[k].fill(T(0));
    else if (from != out[k].data())  // asked for twice
      std::copy_n(from, out[k].size(), out[k].data());
  }
  record.arena.rewind(mark);
  return out;
}

template <class T>
std::vector<Var<T>> grad_graph(Var<T> y, const std::vector<Var<T>>& xs, At at) {
  check_targets("grad_graph", y, xs, at);
  expect(y.shape() == Shape{1, 1}, "grad_graph: y must be a 1x1, got ", y.shape(), "; sum it first", at);
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
      const Var<T> part = node.op->pullback_graph(Var<T>(&record, i), operands, k, g);
      adjoint[x] = adjoint[x].record() ? adjoint[x] + part : part;
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
void grouped_grad_into(Array<T>& out, Var<T> y, const std::vector<Var<T>>& xs, std::span<const int> offset,
                       const Array<T>& weights, At at) {
  check_targets("grouped_grad", y, xs, at);
  const int n = y.rows(), K = shape(weights).cols, G = static_cast<int>(offset.size()) - 1;
  expect(y.cols() == 1 && y.node().per_row,
         "grouped_grad: y must be one column with a number for each row of data, got ", y.shape(), at);
  expect(shape(weights).rows == n, "grouped_grad: weights must have ", n, " rows, got ", shape(weights).rows,
         at);
  expect(G >= 0 && offset.front() == 0 && offset.back() == n && std::is_sorted(offset.begin(), offset.end()),
         "grouped_grad: offset must rise from 0 to ", n, at);
  Record<T>& record = *y.record();
  const auto mark = record.arena.mark();
  const auto& reached = reached_from(record, y.index(), xs);
  const int stack = G * K;
  std::size_t d = 0;
  for (const auto& x : xs) d += x.shape().size();
  expect(shape(out) == Shape{stack, static_cast<int>(d)}, "grouped_grad: the result is ",
         Shape{stack, static_cast<int>(d)}, ", not ", shape(out), at);

  // A node of the samples has one adjoint, of unit weight, for rows do not mix. A node of the parameters
  // alone has one for each group and weighting, `stride` apart; those of xs stand in the result.
  auto& adjoint = record.adjoint;
  auto& room = record.room;
  adjoint.assign(reached.size(), nullptr);
  room.assign(reached.size(), nullptr);
  std::size_t column = 0;
  for (const auto& x : xs) {
    expect(!x.node().per_row, "grouped_grad: x must be a parameter", at);
    if (const auto i = static_cast<std::size_t>(x.index()); i < room.size()) room[i] = out.data() + column;
    column += x.shape().size();
  }
  const auto stride = [&](std::size_t i) { return room[i] ? d : record.nodes[i].shape.size(); };
  adjoint.back() = record.arena.template allocate<T>(static_cast<std::size_t>(n));
  std::fill_n(adjoint.back(), n, T(1));
  int widest = 0, longest = 0;
  for (const auto& node : record.nodes) widest = std::max(widest, node.shape.cols);
  for (int k = 0; k < G; ++k) longest = std::max(longest, offset[k + 1] - offset[k]);
  T* weighted = record.arena.template allocate<T>(Shape{longest, widest}.size());

  for (int i = y.index(); i >= 0; --i) {
    const T* g = adjoint[static_cast<std::size_t>(i)];
    const Node<T>& node = record.nodes[static_cast<std::size_t>(i)];
    if (g == nullptr || node.op == nullptr) continue;
    const Frame<T> f = frame(record, i);
    const auto cols = static_cast<std::size_t>(node.shape.cols);
    for (int k = 0; k < 3 && node.operand[static_cast<std::size_t>(k)] >= 0; ++k) {
      const auto x = static_cast<std::size_t>(node.operand[static_cast<std::size_t>(k)]);
      if (!reached[x]) continue;
      const Node<T>& operand = record.nodes[x];
      const std::size_t size = operand.shape.size(), apart = stride(x);
      const bool accumulate = adjoint[x] != nullptr;
      if (!accumulate)
        adjoint[x] = room[x] ? room[x]
                             : record.arena.template allocate<T>(
                                   operand.per_row ? size : size * static_cast<std::size_t>(stack));
      if (!node.per_row) {
        const std::size_t from = stride(static_cast<std::size_t>(i));
        for (int j = 0; j < stack; ++j)
          node.op->pullback(f, k, 0, node.shape.rows, g + from * static_cast<std::size_t>(j),
                            adjoint[x] + apart * static_cast<std::size_t>(j), accumulate);
        continue;
      }
      expect(node.shape.rows == n, node.op->name, ": mixes the rows of samples (", node.shape, " against ", n,
             " rows), which grouped gradients keep apart", at);
      if (operand.per_row) {
        expect(node.op->own_rows(f, k), node.op->name, ": operand ", k,
               " mixes the rows of samples, which grouped gradients keep apart", at);
        node.op->pullback(f, k, 0, n, g, adjoint[x], accumulate);
        continue;
      }
      expect(node.op->shared(f, k), node.op->name, ": a parameter of shape ", operand.shape, " meets ", n,
             " rows of samples as operand ", k,
             "; grouped gradients know linear, matmul, gather and broadcasting of one row", at);
      for (int group = 0; group < G; ++group) {
        const int begin = offset[group], end = offset[group + 1];
        for (int w = 0; w < K; ++w) {
          T* to = adjoint[x] + apart * static_cast<std::size_t>(group * K + w);
          if (begin == end && !accumulate) std::fill_n(to, size, T(0));
          if (begin == end) continue;
          for (int r = begin; r < end; ++r) {
            const T weight = weights(r, w);
            const T* row = g + static_cast<std::size_t>(r) * cols;
            T* copy = weighted + static_cast<std::size_t>(r - begin) * cols;
            for (std::size_t c = 0; c < cols; ++c) copy[c] = weight * row[c];
          }
          node.op->pullback(f, k, begin, end, weighted, to, accumulate);
        }
      }
    }
  }

  column = 0;
  for (const auto& x : xs) {
    const std::size_t size = x.shape().size();
    const auto i = static_cast<std::size_t>(x.index());
    const T* from = i < adjoint.size() ? adjoint[i] : nullptr;
    for (std::size_t j = 0; j < static_cast<std::size_t>(stack); ++j) {
      T* to = out.data() + j * d + column;
      if (from == nullptr)
        std::fill_n(to, size, T(0));
      else if (from != out.data() + column)  // asked for twice
        std::copy_n(from + j * d, size, to);
    }
    column += size;
  }
  record.arena.rewind(mark);
}

template <class T>
Array<T> grouped_grad(Var<T> y, const std::vector<Var<T>>& xs, std::span<const int> offset,
                      const Array<T>& weights, At at) {
  std::size_t d = 0;
  for (const auto& x : xs) d += x.shape().size();
  const std::size_t stack = offset.empty() ? 0 : (offset.size() - 1) * weights.shape(1);
  auto out = Array<T>::from_shape({stack, d});
  grouped_grad_into(out, y, xs, offset, weights, at);
  return out;
}

#define LOWVAR_INSTANTIATE(T)                                                                               \
  template class Tape<T>;                                                                                   \
  template class Var<T>;                                                                                    \
  template Record<T>& common_record(const char*, std::span<const Operand<T>>);                              \
  template int node_of(Record<T>&, const Operand<T>&);                                                      \
  template Var<T> stop_gradient(Var<T>);                                                                    \
  template std::vector<Array<T>> grad(Var<T>, const std::vector<Var<T>>&, At);                              \
  template std::vector<Var<T>> grad_graph(Var<T>, const std::vector<Var<T>>&, At);                          \
  template Array<T> grouped_grad(Var<T>, const std::vector<Var<T>>&, std::span<const int>, const Array<T>&, \
                                 At);                                                                       \
  template void grouped_grad_into(Array<T>&, Var<T>, const std::vector<Var<T>>&, std::span<const int>,      \
                                  const Array<T>&, At);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
