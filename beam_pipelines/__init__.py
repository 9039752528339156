"""One job a module: curate, score, select, reshard, verify, train_filter, train_mix, train_flyt, score_flyt."""
