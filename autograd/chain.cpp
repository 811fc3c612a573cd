#include "autograd/chain.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "autograd/backward.h"
#include "core/sums.h"

namespace lowvar {
namespace detail {
namespace {

constexpr std::size_t large = std::size_t{1} << 15;  // numbers; fewer stay in the cache between operations
constexpr int block = 2048;                          // numbers of the widest node at a time

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Whether rows of node i, of which there are several, are computed from the same rows of its operands.
template <class T>
bool by_rows(const Record<T>& record, int i) {
  const Node<T>& y = record[i];
  if (y.op == nullptr || y.op->forward == nullptr || y.shape.rows < 2) return false;
  return !y.op->by_rows || y.op->by_rows(record[record.operands(i).front()].shape, y.shape);
}

/// Whether it is a part of a chain in the backward pass.
template <class T>
bool is_link(const Record<T>& record, int i) {
  return by_rows(record, i) && (record[i].value == nullptr || record[i].shape.size() >= large);
}

/// The node whose rows node i sums, if they are of a chain; else -1.
template <class T>
int summed_link(const Record<T>& record, int i) {
  const Node<T>& y = record[i];
  if (y.op == nullptr || !y.op->sums_rows || y.shape.rows != 1) return -1;
  const int x = record.operands(i).front();
  return is_link(record, x) ? x : -1;
}

/// The rows of the chain that node i is of; 0 if of none.
template <class T>
int rows_of_chain(const Record<T>& record, int i) {
  const int link = is_link(record, i) ? i : summed_link(record, i);
  return link < 0 ? 0 : record[link].shape.rows;
}

/// Some rows of nodes that have n of them, and of what those read. A node without a value that is `wanted` is
/// evaluated, for these rows.
template <class T>
class Rows {
 public:
  struct Part {
    int i;  // the node
    bool wanted;
    Node<T> node = {};                    // of these rows
    T *whole = nullptr, *room = nullptr;  // where the value is, of all rows; or of these
    std::size_t first = 0;                // of its operands, in x_
  };

  Rows(Record<T>& record, int n) : record_(record), n_(n) { record.place.resize(record.nodes.size(), -1); }
  ~Rows() {
    for (const Part& p : parts_) record_.place[at(p.i)] = -1;
    if (mark_) record_.arena.rewind(*mark_);
  }
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;

  void add(int i, bool wanted) {
    std::vector<std::pair<int, bool>> stack{{i, wanted}};
    while (!stack.empty()) {
      const auto [j, want] = stack.back();
      stack.pop_back();
      int& place = record_.place[at(j)];
      const bool is_there = place >= 0;
      if (!is_there) {
        place = static_cast<int>(parts_.size());
        parts_.push_back({j, want});
        if (record_[j].borrowed) check_unchanged(record_, j);
      }
      Part& part = parts_[at(place)];
      if (is_there && (part.wanted || !want)) continue;
      part.wanted = want;
      if (want && record_[j].value == nullptr)
        for (const int x : record_.operands(j)) stack.push_back({x, true});
    }
  }

  /// All are there. What is evaluated for keep(i), if that is not null, is written there for all rows. Nodes
  /// of one row are repeated once and for all but where target(i): they are to be seen as they are. What is
  /// taken of the arena from here on is given back when this ends.
  void settle(auto&& keep, auto&& target) {
    int widest = 1;
    std::size_t operands = 0;
    for (std::size_t k = 0; k < parts_.size(); ++k) {
      Part& p = parts_[k];
      p.node = record_[p.i];
      p.whole = const_cast<T*>(p.node.value);
      if (own(k)) widest = std::max(widest, p.node.shape.cols);
      if (p.wanted && !p.whole) {
        p.whole = keep(p.i);
        evaluated_.push_back(k);
      }
      operands += record_.operands(p.i).size();
    }
    std::ranges::sort(evaluated_, {}, [&](std::size_t k) { return parts_[k].i; });
    mark_ = record_.arena.mark();
    rows_ = std::clamp(block / widest, 1, n_);
    unread_ = room(widest);
    std::fill_n(unread_, Shape{rows_, widest}.size(), std::numeric_limits<T>::quiet_NaN());
    for (const std::size_t k : evaluated_)
      if (!parts_[k].whole) parts_[k].room = room(parts_[k].node.shape.cols);
    x_.reserve(operands);
    repeated_.reserve(operands);
    for (std::size_t k = 0; k < parts_.size(); ++k) {
      Part& p = parts_[k];
      p.first = x_.size();
      for (const int x : record_.operands(p.i)) {
        const int place = record_.place[at(x)];
        const bool repeat = own(k) && place >= 0 && !own(at(place)) && !target(x);
        x_.push_back(place < 0 ? &record_[x]
                     : repeat  ? repeated(record_[x], p.node.shape.cols)
                               : &parts_[at(place)].node);
      }
    }
  }

  /// Calls f(begin, end) for one block after another, what is wanted being evaluated.
  void for_blocks(auto&& f) {
    for (int begin = 0; begin < n_; begin += rows_) {
      const int end = std::min(n_, begin + rows_);
      for (std::size_t k = 0; k < parts_.size(); ++k) {
        if (!own(k)) continue;
        Part& p = parts_[k];
        p.node.shape.rows = end - begin;
        p.node.value = p.whole ? p.whole + Shape{begin, p.node.shape.cols}.size() : p.room ? p.room : unread_;
        if (p.node.op && p.node.op->index_cols) {
          const Shape x = record_[record_.operands(p.i).front()].shape;
          const int cols = p.node.op->index_cols(x, record_[p.i].shape);
          p.node.index = record_[p.i].index + Shape{begin, cols}.size();
        }
      }
      for (Node<T>& node : repeated_) node.shape.rows = end - begin;
      for (const std::size_t k : evaluated_)
        parts_[k].node.op->forward(frame(k), const_cast<T*>(parts_[k].node.value));
      f(begin, end);
    }
  }

  /// The value of node i, which is wanted, in the block.
  const T* value(int i) const { return parts_[place(i)].node.value; }
  /// For a block of a node of so many columns.
  T* room(int cols) { return record_.arena.template allocate<T>(Shape{rows_, cols}.size()); }
  std::size_t place(int i) const { return at(record_.place[at(i)]); }
  std::size_t count() const { return parts_.size(); }
  int node(std::size_t k) const { return parts_[k].i; }
  /// Whether part k has n rows.
  bool own(std::size_t k) const { return record_[parts_[k].i].shape.rows == n_; }
  Frame<T> frame(std::size_t k) const {
    const Part& p = parts_[k];
    return {&p.node, {x_.data() + p.first, at(p.node.operands)}, &record_.arena};
  }

 private:
  /// A node of one row, repeated to the rows of a block and to `cols`.
  const Node<T>* repeated(const Node<T>& x, int cols) {
    T* to = room(cols);
    for (int r = 0; r < rows_; ++r)
      for (int j = 0; j < cols; ++j) to[Shape{r, cols}.size() + at(j)] = x.value[x.shape.cols == 1 ? 0 : j];
    Node<T> node;
    node.shape = {rows_, cols};
    node.value = to;
    repeated_.push_back(node);
    return &repeated_.back();
  }

  Record<T>& record_;
  int n_, rows_ = 1;
  std::optional<Arena::Mark> mark_;
  std::vector<Part> parts_;
  std::vector<const Node<T>*> x_;
  std::vector<std::size_t> evaluated_;
  std::vector<Node<T>> repeated_;  // nodes of one row, for a block
  T* unread_ = nullptr;            // where nothing is wanted
};

/// Writes the value of node i, whose operands have theirs.
template <class T>
void write_value(Record<T>& record, int i) {
  T* y = record.arena.template allocate<T>(record[i].shape.size());
  const auto mark = record.arena.mark();
  const Frame<T> f = frame_of(record, i);
  f.y->op->forward(f, y);
  record.arena.rewind(mark);
  record[i].value = y;
}

template <class T>
bool operands_are_there(const Record<T>& record, int i) {
  return std::ranges::all_of(record.operands(i), [&](int x) { return record[x].value != nullptr; });
}

/// Calls body(rows), in which the value of node i, that was left for later, is wanted; it is kept if `keep`,
/// and so is what else was needed before.
template <class T>
void with_rows(Record<T>& record, int i, bool keep, auto&& body) {
  Rows<T> rows(record, record[i].shape.rows);
  rows.add(i, true);
  std::vector<std::pair<int, T*>> kept;
  const auto keep_again = [&](int j) -> T* {
    Node<T>& node = record[j];
    if (!std::exchange(node.asked, true) && !(j == i && keep)) return nullptr;
    kept.push_back({j, record.arena.template allocate<T>(node.shape.size())});
    return kept.back().second;
  };
  rows.settle(keep_again, [](int) { return false; });
  body(rows);
  for (const auto& [j, value] : kept) {
    record[j].value = value;
    record.evaluated.push_back(j);
  }
}

template <class T>
void evaluate(Record<T>& record, int i) {
  if (!operands_are_there(record, i))
    return with_rows(record, i, true, [](Rows<T>& rows) { rows.for_blocks([](int, int) {}); });
  for (const int x : record.operands(i))
    if (record[x].borrowed) check_unchanged(record, x);
  write_value(record, i);
  record.evaluated.push_back(i);
}

/// Writes the value of node i, the sum of the rows of node x, which are left for later: as SumTo has it.
template <class T>
void write_sum(Record<T>& record, int i, int x) {
  T* y = record.arena.template allocate<T>(record[i].shape.size());
  const auto cols = static_cast<std::size_t>(record[x].shape.cols);
  const bool of_all = record[i].shape.cols == 1;
  with_rows(record, x, false, [&](Rows<T>& rows) {
    NumberSum<T> numbers;
    ColumnSums<T> columns(record.arena, cols);
    rows.for_blocks([&](int begin, int end) {
      const T* part = rows.value(x);
      const auto count = static_cast<std::size_t>(end - begin);
      if (of_all)
        numbers.add(part, count * cols);
      else
        columns.add(part, count);
    });
    if (of_all)
      *y = numbers.finish();
    else
      columns.finish(y, false);
  });
  record[i].value = y;
}

/// Moves the longest chain that begins at record.order[first] before what stands in between, and returns
/// where it ends. What stands in between must not add to a chain's adjoint, nor the chain to one of a sum
/// that the chain itself needs: there it ends.
template <class T>
std::size_t gather_chain(Record<T>& record, std::size_t first) {
  const int n = rows_of_chain(record, record.order[first]);
  constexpr std::size_t most = 64;  // between
  std::vector<int> chain, between, barred;
  const auto bar = [&](int i, bool all) {
    for (const int x : record.operands(i))
      if (reached(record, x) && (all || record[x].shape.rows != n)) barred.push_back(x);
  };
  std::size_t k = first;
  for (; k < record.order.size() && between.size() < most; ++k) {
    const int i = record.order[k];
    const bool link = rows_of_chain(record, i) == n;
    if (link && std::ranges::find(barred, i) != barred.end()) break;
    (link ? chain : between).push_back(i);
    if (record[i].op) bar(i, !link);
  }
  std::ranges::copy(chain, record.order.begin() + static_cast<std::ptrdiff_t>(first));
  std::ranges::copy(between, record.order.begin() + static_cast<std::ptrdiff_t>(first + chain.size()));
  return first + chain.size();
}

/// Where cotangents of a part of a chain go.
template <class T>
struct Target {
  T* whole = nullptr;  // of all rows; where there is something already, if `exists`
  T* room = nullptr;   // of a block
  bool exists = false;
  std::optional<PairwiseSum<T>> sum = {};  // of one row, over the blocks
  T* to = nullptr;                         // in this block; there is something already, if `begun`
  bool begun = false;
};

}  // namespace

template <class T>
std::size_t pull_back_chain(Record<T>& record, std::size_t first) {
  const int n = record.trap ? 0 : rows_of_chain(record, record.order[first]);
  if (n == 0) return first;
  const std::size_t end = gather_chain(record, first);
  if (end == first + 1 && record[record.order[first]].value) return first;
  const std::vector<int> chain(record.order.begin() + static_cast<std::ptrdiff_t>(first),
                               record.order.begin() + static_cast<std::ptrdiff_t>(end));
  Rows<T> rows(record, n);
  for (const int i : chain) {
    const auto operands = record.operands(i);
    unsigned reads = reads_none;
    for (std::size_t q = 0; q < operands.size(); ++q)
      if (reached(record, operands[q])) reads |= record[i].op->reads[q];
    rows.add(i, reads & reads_y);
    for (std::size_t q = 0; q < operands.size(); ++q) rows.add(operands[q], reads & reads_a << q);
  }
  std::vector<Target<T>> targets(rows.count());
  std::vector<char> is_link(targets.size());
  for (const int i : chain) is_link[rows.place(i)] = true;
  for (std::size_t k = 0; k < targets.size(); ++k) {
    const int i = rows.node(k);
    Target<T>& t = targets[k];
    if (!reached(record, i) || (is_link[k] && !rows.own(k))) continue;
    if (is_link[k] && !visit(record, i)->adjoint && !visit(record, i)->room) continue;
    const auto [to, accumulate] = open(record, i, record[i].shape.size());
    t.whole = to;
    t.exists = accumulate;
  }
  rows.settle([](int) -> T* { return nullptr; }, [&](int x) { return reached(record, x); });
  for (std::size_t k = 0; k < targets.size(); ++k) {
    const Shape shape = record[rows.node(k)].shape;
    if (!rows.own(k))
      targets[k].sum.emplace(record.arena, shape.size());
    else if (!targets[k].whole)
      targets[k].room = rows.room(shape.cols);
  }
  rows.for_blocks([&](int begin, int stop) {
    for (std::size_t k = 0; k < targets.size(); ++k) {
      Target<T>& t = targets[k];
      t.to = t.sum     ? t.sum->next()
             : t.whole ? t.whole + Shape{begin, record[rows.node(k)].shape.cols}.size()
                       : t.room;
      t.begun = t.exists && !t.sum;
    }
    for (const int i : chain) {
      const std::size_t k = rows.place(i);
      const bool own = rows.own(k);
      const T* g = own ? (targets[k].begun ? targets[k].to : nullptr) : visit(record, i)->adjoint;
      if (g == nullptr) continue;
      const auto operands = record.operands(i);
      for (std::size_t q = 0; q < operands.size(); ++q) {
        if (!reached(record, operands[q])) continue;
        Target<T>& t = targets[rows.place(operands[q])];
        record[i].op->pullback(rows.frame(k), static_cast<int>(q), 0, own ? stop - begin : 1, g, t.to,
                               t.begun);
        t.begun = true;
      }
    }
    for (std::size_t k = 0; k < targets.size(); ++k) {
      Target<T>& t = targets[k];
      if (t.sum && t.begun) t.sum->add();
      if (t.whole && !t.sum && !t.begun)
        std::fill_n(t.to, Shape{stop - begin, record[rows.node(k)].shape.cols}.size(), T(0));
    }
  });
  for (Target<T>& t : targets)
    if (t.sum && t.whole) t.sum->finish(t.whole, t.exists);
  return end;
}

template <class T>
Var<T> finish_late(Record<T>& record, At at) {
  const int i = static_cast<int>(record.nodes.size()) - 1;
  const bool large_or_behind = record[i].shape.size() >= large || !operands_are_there(record, i);
  if (!record.trap && by_rows(record, i) && large_or_behind) return {&record, i};
  const int x = record.operands(i).front();
  if (record[i].op->sums_rows && record[i].shape.rows == 1 && record[x].value == nullptr) {
    write_sum(record, i, x);
  } else {
    for (const int operand : record.operands(i)) value_of(record, operand);
    write_value(record, i);
  }
  return finish(record, at);
}

#define LOWVAR_INSTANTIATE(T)                                    \
  template std::size_t pull_back_chain(Record<T>&, std::size_t); \
  template Var<T> finish_late(Record<T>&, At);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace detail

template <class T>
const T* value_of(Record<T>& record, int i) {
  if (record[i].value == nullptr) detail::evaluate(record, i);
  return record[i].value;
}
template const float* value_of(Record<float>&, int);
template const double* value_of(Record<double>&, int);

}  // namespace lowvar
