"""The product. Data flows through the rooms in this order:

dataset -> readers -> samples -> engines, measures, rewards -> table -> groups
        -> analysis -> rendering                  (STAGE 1: profile.py)
"""
