"""The child process: verl's SFT trainer, with four additions (`process.py` starts it).

- The held-out rows are one batch, whatever their number: verl's loader drops what does not fill a training batch.
  Their loss (mean over all learnt tokens) is computed before training too, as `val/loss_before` of the first step.
- `timing_s/step` says how long a step took.
- A checkpoint is written after each evaluation, when `trainer.save_every_s` seconds have passed since the last one,
  and on request; whole or not at all, and only the last and the best stay.
- A run goes on where its last checkpoint was, with the metrics of the steps before it.
"""

import os
import time
from pathlib import Path
from typing import Any

import hydra
import torch
from verl.trainer.sft_trainer import SFTTrainer
from verl.utils import tensordict_utils, tracking
from verl.utils.device import auto_set_device
from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

from verl_coder.run.run_dir import RunDir
from verl_coder.sft.checkpoints import SftCheckpoints, StoppedOnRequest


class AppendedMetrics(tracking.FileLogger):
    """verl's file of metrics, which goes on behind the steps that it holds."""

    def __init__(self, project_name: str, experiment_name: str) -> None:
        self.filepath = os.environ["VERL_FILE_LOGGER_PATH"]
        self.fp = Path(self.filepath).open("ab", buffering=0)  # noqa: SIM115  (closed by verl's finish)


class TracesSftTrainer(SFTTrainer):
    """verl's trainer; what differs is in this file's docstring."""

    ckpt_handler: SftCheckpoints
    _training = False
    _step = 0
    _loss_before: float | None = None
    _evaluated = False
    """After the present step."""
    _save_freq: Any = -1

    def _build_engine(self) -> None:
        super()._build_engine()
        self.run_dir = RunDir(Path(self.config.trainer.default_local_dir).parent)
        train_batch, infer_batch = self.training_client.train_batch, self.training_client.infer_batch

        def timed(data: Any) -> Any:
            start = time.monotonic()
            output = train_batch(data=data)
            metrics = tensordict_utils.get(output, "metrics")
            metrics["timing_s/step"] = time.monotonic() - start
            if self._loss_before is not None:
                metrics["val/loss_before"], self._loss_before = self._loss_before, None
            self._step, self._evaluated = self._step + 1, False
            return output

        def measured(data: Any) -> Any:
            self._evaluated = True
            return infer_batch(data)

        self.training_client.train_batch, self.training_client.infer_batch = timed, measured

    def _build_dataloader(self) -> None:
        super()._build_dataloader()
        if self.val_dataloader is not None:
            self.val_dataloader = torch.utils.data.DataLoader(
                self.val_dataset, batch_size=len(self.val_dataset), collate_fn=self.collate_fn
            )

    def _build_ckpt_handler(self) -> None:
        self.ckpt_handler = SftCheckpoints(
            self.engine,
            self.train_dataloader,
            run_dir=self.run_dir,
            last_step=self.total_training_steps,
            resume_mode=self.config.trainer.resume_mode,
            lora_train_meta=self._get_lora_train_meta(),
        )

    @property
    def save_freq(self) -> Any:
        """1 where the step that has just ended is to be saved, else -1: verl asks after every step."""
        if not self._training:
            return self._save_freq
        asked = self._save_freq > 0 and self._step % self._save_freq == 0
        late = time.monotonic() - self.ckpt_handler.saved_at > self.config.trainer.save_every_s
        due = asked or late or self._evaluated or self.run_dir.stop_request.is_file()
        return 1 if due else -1

    @save_freq.setter
    def save_freq(self, value: Any) -> None:
        self._save_freq = value

    def fit(self) -> None:
        """Measure the held-out rows, then train as verl does, to the end or to a request."""
        tracking.FileLogger = AppendedMetrics  # type: ignore[misc]
        self._step = self.resume_global_step
        if self.val_dataloader is not None and not self.resume_global_step:
            self._loss_before = self._held_out_loss()
        self.ckpt_handler.saved_at, self._training = time.monotonic(), True
        try:
            super().fit()
        except StoppedOnRequest:
            return

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
