"""lm-eval's tasks through the gateway's `/v1`: does a model still know what it knew before it was drilled?"""
