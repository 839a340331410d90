"""What some tests need of the processor and of the installation."""

import pytest
import torch

from bertsmith.model.whole import can_multiply_whole

needs_whole = pytest.mark.skipif(
    not can_multiply_whole(torch.device("cpu")), reason="nothing was compiled for this processor"
)
