"""Learners behind the interface of stable-baselines3: each turns an estimator into training."""
