# AUX=none (default): no losses beside the METHOD's own.
_base_ = ['../methods/{{$METHOD:vifi}}.py']
