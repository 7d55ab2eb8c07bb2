"""A node in an asyncio application: Trio as the guest of asyncio's loop."""
