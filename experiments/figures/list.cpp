// The gallery. A figure is a folder of its name, whose run.cpp defines its function.
#include "experiments/figures/figures.h"

namespace lowvar {

Reproduction run_ladder(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_baseline_parabola(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_gae_frontier(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_ladder_not_a_theorem(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_ppo_clip(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_score_pathwise_measure(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_action_dimension(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_rloo(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_noise_to_signal(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_missing_baseline(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_variance_along_ppo(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_ppo_table_1(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_engstrom_toggles(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_ppo_figure_3(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_cosine_against_batch(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_training_on_sequences(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_llm_ladder(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_update_is_a_gradient(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_kl_zoo(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_kl_fixed_points(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_staleness(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_baseline_hurts(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_llm_ladder_off_policy(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_token_baselines(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_hidden_objectives(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_pass_at_k(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_group_size(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_noise_and_progress(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_random_rewards(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_rounding(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_vineppo(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_short_corridor(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_tucker_lqg(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_tucker_decomposition(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_suh_heaviside(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_suh_ball_and_wall(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_chaos(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_ilyas_gradients(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_pixels_ladder(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_bike_share(Effort effort, bool check, const std::filesystem::path& out);

const std::vector<Figure>& figures() {
  static const std::vector<Figure> all = {
      {"ladder", "the variance ladder: variance, bias and cost from REINFORCE to PPO", run_ladder},
      {"baseline-parabola", "variance of REINFORCE against a constant baseline: a parabola, and its minimum",
       run_baseline_parabola},
      {"gae-frontier", "bias and variance of GAE against lambda, and the best lambda for N trajectories",
       run_gae_frontier},
      {"ladder-not-a-theorem",
       "how often, on random MDPs, a rung of the ladder has more variance than the one above",
       run_ladder_not_a_theorem},
      {"ppo-clip", "PPO's clipped surrogate and its gradient, one term", run_ppo_clip},
      {"score-pathwise-measure",
       "score function, pathwise and measure-valued: variances, and where they cross",
       run_score_pathwise_measure},
      {"action-dimension", "variance against the action dimension: state and factorised baselines, pathwise",
       run_action_dimension},
      {"rloo", "baselines from a group of samples: RLOO, group mean and GRPO", run_rloo},
      {"noise-to-signal", "noise to signal of REINFORCE on the double integrator: table and heat-map",
       run_noise_to_signal},
      {"missing-baseline", "the blow-up of variance at small exploration, with and without a state baseline",
       run_missing_baseline},
      {"variance-along-ppo", "the variance of every rung along a run of PPO, beside its return",
       run_variance_along_ppo},
      {"ppo-table-1", "clips, adaptive and fixed penalties of PPO, and none: normalised scores",
       run_ppo_table_1},
      {"engstrom-toggles",
       "ratios beyond PPO's clip, and what its code adds: PPO, TRPO and both without their details",
       run_engstrom_toggles},
      {"ppo-figure-3", "PPO, A2C and TRPO on seven worlds of MuJoCo, beside published returns",
       run_ppo_figure_3},
      {"cosine-against-batch",
       "the cosine of PPO's own gradient to the true one against the size of the batch",
       run_cosine_against_batch},
      {"training-on-sequences",
       "training on sequence worlds: the exact value along runs, their flow, and a recurrent policy",
       run_training_on_sequences},
      {"llm-ladder", "direction and noise of twenty estimators that language models are trained with",
       run_llm_ladder},
      {"update-is-a-gradient",
       "which updates of language models are the gradient of something: curls, and work round a loop",
       run_update_is_a_gradient},
      {"kl-zoo", "bias and variance of ten gradients of one divergence, as put into training", run_kl_zoo},
      {"kl-fixed-points",
       "where updates with a divergence from a reference come to rest, by how it is put in",
       run_kl_fixed_points},
      {"staleness", "importance weights against the length of answers: one curve for all staleness",
       run_staleness},
      {"baseline-hurts", "when a baseline hurts: the group's mean against none, and chains of right steps",
       run_baseline_hurts},
      {"llm-ladder-off-policy",
       "importance weights and clips on answers of an older policy: bias, direction and noise against its "
       "age",
       run_llm_ladder_off_policy},
      {"token-baselines", "baselines for tokens: a constant, one for each position or prefix, exact critics",
       run_token_baselines},
      {"hidden-objectives",
       "the function of p that each update of groups climbs, and what dynamic sampling does to it",
       run_hidden_objectives},
      {"pass-at-k", "gradients of pass@k: the three forms of PKPO, without bias and far apart in variance",
       run_pass_at_k},
      {"group-size", "the size of a group at a fixed budget of answers to several prompts", run_group_size},
      {"noise-and-progress", "what one step gains in expectation, over all groups, against noise to signal",
       run_noise_and_progress},
      {"random-rewards",
       "rewards that say nothing, and what two minibatches and their clip do to the entropy",
       run_random_rewards},
      {"rounding", "logits in BF16 and FP16: how far the policy that samples is from the one that learns",
       run_rounding},
      {"vineppo", "advantages from rollouts (VinePPO) at equal tokens", run_vineppo},
      {"short-corridor", "the short corridor of Sutton & Barto: exact variances, and its learning curves",
       run_short_corridor},
      {"tucker-lqg", "the variance of a step taken apart on LQG: what follows, the action, the state",
       run_tucker_lqg},
      {"tucker-decomposition", "the variance of a step taken apart along a run of PPO, by restored states",
       run_tucker_decomposition},
      {"suh-heaviside", "first- and zeroth-order gradients of a step smoothed by noise, and of a ramp",
       run_suh_heaviside},
      {"suh-ball-and-wall",
       "a ball over a wall: first- and zeroth-order gradients, and descent by them and their mix",
       run_suh_ball_and_wall},
      {"chaos", "pathwise against the score function on a chaotic map: exact variance against the steps",
       run_chaos},
      {"ilyas-gradients",
       "how concentrated PPO's gradients are, with three baselines, against the number of pairs",
       run_ilyas_gradients},
      {"pixels-ladder",
       "the ladder of estimators where policies look at pixels: variance along two runs of PPO",
       run_pixels_ladder},
      {"bike-share",
       "trucks that balance a city's hired bicycles: none, a planner that predicts, and PPO; trips lost",
       run_bike_share},
  };
  return all;
}

}  // namespace lowvar
