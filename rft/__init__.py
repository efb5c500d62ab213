"""Reason-RFT without the page: tasks, scenes, rewards, checkpoints, training, evaluation.

Nothing below this package imports gradio or ``app``.
"""
