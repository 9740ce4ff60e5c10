# my_method.py
from stable_baselines3 import A2C

from experiments.methods import register_method, rollout_env


@register_method
def my_a2c(config, backbone, clips):
    return A2C("MlpPolicy", rollout_env(config, backbone, clips), n_steps=3, seed=config.seed, device="cpu")
