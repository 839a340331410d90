"""What happens at [MASK]: a forward pass with all that lies on the way, and the page that shows it."""
