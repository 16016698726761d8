"""MMEngine's FlexibleRunner, with checkpoints that resume where they were."""
from typing import Optional

from mmengine.fileio import join_path
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner


@RUNNERS.register_module()
class SpreadRunner(FlexibleRunner):
    """FlexibleRunner for models that are spread over processes.

    When CheckpointHook finds that an epoch was the best so far, it writes
    that epoch's checkpoint once more and says which epoch it is of. Runner
    takes its word; FlexibleRunner counts anew, one too many, and a resumed
    run would leave out an epoch.
    """

    def save_checkpoint(self,
                        out_dir: str,
                        filename: str,
                        file_client_args: Optional[dict] = None,
                        save_optimizer: bool = True,
                        save_param_scheduler: bool = True,
                        meta: Optional[dict] = None,
                        by_epoch: bool = True,
                        backend_args: Optional[dict] = None) -> None:
        """As FlexibleRunner's; the epoch and iteration in ``meta`` hold.

        Raises:
            ValueError: ``file_client_args``, which MMEngine has deprecated.
        """
        if file_client_args is not None:
            raise ValueError('give CheckpointHook backend_args in place of '
                             'file_client_args')
        meta = dict(meta or {})
        meta.setdefault('epoch', self.epoch + (1 if by_epoch else 0))
        meta.setdefault('iter', self.iter + (0 if by_epoch else 1))
        meta.update(
            cfg=self.cfg.pretty_text, experiment_name=self.experiment_name)
        dataset = self.train_dataloader.dataset
        if hasattr(dataset, 'metainfo'):
            meta.update(dataset_meta=dataset.metainfo)

        def callback(checkpoint: dict) -> None:
            self.call_hook('before_save_checkpoint', checkpoint=checkpoint)

        self.strategy.save_checkpoint(
            filename=join_path(out_dir, filename, backend_args=backend_args),
            save_optimizer=save_optimizer,
            save_param_scheduler=save_param_scheduler,
            extra_ckpt=dict(
                meta=meta, message_hub=self.message_hub.state_dict()),
            callback=callback)
