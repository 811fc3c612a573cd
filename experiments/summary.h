// Summaries over seeds: interquartile means, bootstrap intervals, probability of improvement (Agarwal et al.
// 2021).
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace lowvar {

/// The mean of what is left when a quarter of the numbers, rounded down, is cut from each end.
double interquartile_mean(std::span<const double> x);

/// The 95 % percentile interval of the interquartile mean over 2000 resamplings of the seeds.
std::array<double, 2> interquartile_mean_interval(std::span<const double> x);

/// P(X > Y) + P(X = Y) / 2 over pairs of runs, and its 95 % bootstrap interval over 2000 resamplings of both.
struct Improvement {
  double probability;
  std::array<double, 2> ci95;
};
Improvement probability_of_improvement(std::span<const double> x, std::span<const double> y);

}  // namespace lowvar
