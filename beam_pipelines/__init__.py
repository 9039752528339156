"""One job a module: curate, score, select, reshard, verify, train_filter, score_flyt."""
