"""The script that MLflow runs to load a registered model: nothing of it is pickled, the code is this file."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class Inspection(PythonModel):
    """Verdicts on files by a published model, which lies beside this script as the artifact `model`.

    Example:
        `mlflow.pyfunc.load_model("models:/endline.mirror_audio.mirror@champion").predict(table_with_a_column_path)`
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the published model."""
        from endline.operations.inspection import Inspector

        self._inspector = Inspector.load(Path(context.artifacts["model"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Verdicts on the files of the column `path`, a row an item; columns are the attributes of `Verdict`."""
        return self._inspector.inspect(model_input["path"].tolist())


mlflow.models.set_model(Inspection())
