"""
The conversation: messages to what is being asked, and answers to bytes.
"""
