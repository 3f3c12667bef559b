"""mmdet's runtime with a logger that counts and no visual backend."""
_base_ = 'mmdet::_base_/default_runtime.py'
