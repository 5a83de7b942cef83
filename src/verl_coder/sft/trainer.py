"""The child process: verl's SFT trainer, with two additions (`process.py` starts it).

- The held-out rows are one batch, whatever their number: verl's loader drops what does not fill a training batch.
  Their loss (mean over all learnt tokens) is computed before training too, as `val/loss_before` of the first step.
- `timing_s/step` says how long a step took.
"""

import time
from typing import Any

import hydra
import torch
from verl.trainer.sft_trainer import SFTTrainer
from verl.utils import tensordict_utils
from verl.utils.device import auto_set_device
from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group


class TracesSftTrainer(SFTTrainer):
    """verl's trainer; what differs is in this file's docstring."""

    def _build_engine(self) -> None:
        super()._build_engine()
        self._loss_before: float | None = None
        train_batch = self.training_client.train_batch

        def timed(data: Any) -> Any:
            start = time.monotonic()
            output = train_batch(data=data)
            metrics = tensordict_utils.get(output, "metrics")
            metrics["timing_s/step"] = time.monotonic() - start
            if self._loss_before is not None:
                metrics["val/loss_before"], self._loss_before = self._loss_before, None
            return output

        self.training_client.train_batch = timed

    def _build_dataloader(self) -> None:
        super()._build_dataloader()
        if self.val_dataloader is not None:
            self.val_dataloader = torch.utils.data.DataLoader(
                self.val_dataset, batch_size=len(self.val_dataset), collate_fn=self.collate_fn
            )

    def fit(self) -> None:
        """Measure the held-out rows, then train as verl does."""
        if self.val_dataloader is not None:
            self._loss_before = self._held_out_loss()
        super().fit()

    def _held_out_loss(self) -> float:
        (batch,) = self.val_dataloader
        options = {
            "use_remove_padding": self.config.model.use_remove_padding,
            "use_dynamic_bsz": self.config.data.use_dynamic_bsz,
            "max_token_len_per_gpu": self.config.data.max_token_len_per_gpu,
            "micro_batch_size_per_gpu": self.config.data.micro_batch_size_per_gpu,
            "temperature": 1.0,
            "global_batch_size": self.global_batch_size,
            "pad_mode": self.config.data.pad_mode,
            "pad_token_id": self.model_config.tokenizer.pad_token_id,
        }
        data = tensordict_utils.get_tensordict(tensor_dict=batch, non_tensor_dict=options)
        metrics = tensordict_utils.get(self.training_client.infer_batch(data), "metrics")
        return float(metrics["loss"])


@hydra.main(config_path="pkg://verl.trainer.config", config_name="sft_trainer_engine", version_base=None)
def main(config: Any) -> None:
    """Train by verl's configuration; the arguments are Hydra overrides."""
    auto_set_device(config)
    initialize_global_process_group()
    TracesSftTrainer(config=config).fit()
    destroy_global_process_group()


if __name__ == "__main__":
    main()
