// Running normalisation of what a learner sees, whose units nobody chose (Huang et al. 2022, details 6 to 9
// of those for continuous actions).
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "core/array.h"
#include "nn/mlp.h"

namespace lowvar {

/// Mean and standard deviation of each column of all rows so far (Chan et al. 1983). Of no rows the mean is 0
/// and the deviation 1; 1 is also that of a column that changes by no more than rounding to float32.
class RunningMoments {
 public:
  void add(const Array<double>& x) {
    const auto n = static_cast<double>(shape(x).rows);
    if (n == 0) return;
    const auto columns = static_cast<std::size_t>(shape(x).cols);
    mean_.resize(columns), square_.resize(columns);
    for (std::size_t j = 0; j < columns; ++j) {
      double mean = 0, square = 0;
      for (std::size_t i = 0; i < x.shape(0); ++i) mean += x(i, j) / n;
      for (std::size_t i = 0; i < x.shape(0); ++i) square += (x(i, j) - mean) * (x(i, j) - mean);
      const double apart = mean - mean_[j];
      mean_[j] += apart * n / (count_ + n);
      square_[j] += square + apart * apart * count_ * n / (count_ + n);
    }
    count_ += n;
  }

  /// Whether it is of so many columns, or of no rows.
  bool fits(std::size_t columns) const {
    return count_ == 0 || (mean_.size() == columns && square_.size() == columns);
  }

  template <class F>
  void visit(F&& f) {
    f("count", count_), f("mean", mean_), f("square", square_);
  }

  double mean(std::size_t j) const { return count_ > 0 ? mean_[j] : 0; }
  double deviation(std::size_t j) const {
    const double deviation = count_ > 0 ? std::sqrt(square_[j] / count_) : 0;
    return deviation > 1e-7 * std::abs(mean(j)) ? deviation : 1;
  }

  /// Of rows of so many columns, in the units of those so far; of no rows the units of the world.
  Normaliser normaliser(double limit) const {
    Normaliser out{.limit = limit};
    for (std::size_t j = 0; j < mean_.size(); ++j)
      out.mean.push_back(mean(j)), out.deviation.push_back(deviation(j));
    return out;
  }

 private:
  double count_ = 0;
  std::vector<double> mean_, square_;  // square_: sum of squared deviations from the mean
};

}  // namespace lowvar
