"""Training hooks."""

from kd_det.engine.hooks.answer_cache_hook import AnswerCacheHook
from kd_det.engine.hooks.autoencoder_hook import AutoEncoderHook
from kd_det.engine.hooks.centroid_hook import CentroidHook
from kd_det.engine.hooks.channels_last_hook import ChannelsLastHook
from kd_det.engine.hooks.factor_cosine_hook import FactorCosineHook
from kd_det.engine.hooks.feature_norm_hook import FeatureNormHook
from kd_det.engine.hooks.gradient_share_hook import GradientShareHook
from kd_det.engine.hooks.initial_weights_hook import InitialWeightsHook
from kd_det.engine.hooks.loss_schedule_hook import LossScheduleHook
from kd_det.engine.hooks.non_finite_hook import NonFiniteHook
from kd_det.engine.hooks.peer_hook import PeerHook
from kd_det.engine.hooks.progress_hook import ProgressHook
from kd_det.engine.hooks.random_state_hook import RandomStateHook
from kd_det.engine.hooks.run_record_hook import RunRecordHook
from kd_det.engine.hooks.safe_checkpoint_hook import SafeCheckpointHook
from kd_det.engine.hooks.step_time_hook import StepTimeHook
from kd_det.engine.hooks.stitch_hook import StitchHook
from kd_det.engine.hooks.teacher_check_hook import TeacherCheckHook

__all__ = [
    'AnswerCacheHook',
    'AutoEncoderHook',
    'CentroidHook',
    'ChannelsLastHook',
    'FactorCosineHook',
    'FeatureNormHook',
    'GradientShareHook',
    'InitialWeightsHook',
    'LossScheduleHook',
    'NonFiniteHook',
    'PeerHook',
    'ProgressHook',
    'RandomStateHook',
    'RunRecordHook',
    'SafeCheckpointHook',
    'StepTimeHook',
    'StitchHook',
    'TeacherCheckHook',
]
