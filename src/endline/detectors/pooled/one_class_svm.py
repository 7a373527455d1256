"""One-class support vector machine on pooled features."""

from dataclasses import dataclass

import torch
from sklearn.svm import OneClassSVM as Machine
from torch import Tensor

from endline.detectors.pooled.pooled_detector import PooledDetector
from endline.detectors.statistics import distances_between
from endline.errors import EndlineError


@dataclass(frozen=True)
class OneClassSVMConfig:
    """Settings of `OneClassSVM`.

    Attributes:
        nu: in (0, 1), bound of the share of training samples outside the boundary.
        gamma: steepness of the kernel, in units of 1 / (features * their variance); 1 = scikit-learn's `scale`.

    Example:
        >>> OneClassSVMConfig().nu
        0.1
    """

    nu: float = 0.1
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.nu < 1 or self.gamma <= 0:
            raise EndlineError(
                f"one_class_svm has nu={self.nu} and gamma={self.gamma}: choose nu in (0, 1) and gamma above 0."
            )


class OneClassSVM(PooledDetector[OneClassSVMConfig]):
    """Offset of the boundary minus the sum of Gaussian kernels around the support vectors; 0 on the boundary.

    Schölkopf et al., "Estimating the Support of a High-Dimensional Distribution", Neural Computation 2001; fitted by
    scikit-learn. Far from all training samples the kernels vanish: such samples share the score `offset`, which no
    training sample reaches.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> maps = np.random.default_rng(0).standard_normal((20, 3, 4, 4)).astype("f4")
        >>> detector = OneClassSVM(OneClassSVMConfig())
        >>> history = detector.fit(FeatureSet({"scale_0": maps}), seed=0, progress=Progress())
        >>> near, far = detector.score({"scale_0": torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])}).score
        >>> bool(far > near)
        True
    """

    Config = OneClassSVMConfig

    def empty(self, features: int, samples: int) -> dict[str, Tensor]:
        """All training vectors, their coefficients (0 = no support vector), offset and gamma."""
        return {
            "vectors": torch.zeros(samples, features, dtype=torch.float64),
            "coefficients": torch.zeros(samples, dtype=torch.float64),
            "offset": torch.zeros((), dtype=torch.float64),
            "gamma": torch.zeros((), dtype=torch.float64),
        }

    def learned(self, vectors: Tensor, seed: int) -> dict[str, Tensor]:
        """Coefficients of the support vectors, which scikit-learn finds on the CPU."""
        variance = vectors.var(correction=0)
        gamma = self.config.gamma / (vectors.shape[1] * variance) if variance > 0 else torch.ones_like(variance)
        machine = Machine(nu=self.config.nu, gamma=float(gamma))
        machine.random_state = seed  # without one it would draw from NumPy's global state
        machine.fit(vectors.cpu().numpy())
        coefficients = torch.zeros(len(vectors), dtype=torch.float64)
        coefficients[torch.from_numpy(machine.support_).long()] = torch.from_numpy(machine.dual_coef_[0])
        offset = torch.tensor(float(machine.offset_[0]), dtype=torch.float64)
        return {
            "vectors": vectors,
            "coefficients": coefficients,
            "offset": offset,
            "gamma": gamma,
        }  # loaded into the model

    def anomaly(self, vectors: Tensor) -> Tensor:
        """Decision function with its sign turned, (batch,)."""
        known, coefficients = self.model.get_buffer("vectors"), self.model.get_buffer("coefficients")
        support = coefficients != 0
        squares = distances_between(vectors, known[support]).square()
        kernels = torch.exp(-self.model.get_buffer("gamma") * squares)
        return self.model.get_buffer("offset") - kernels @ coefficients[support]
