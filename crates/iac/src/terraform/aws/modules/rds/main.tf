# One region's instance of an RDS database: the writer or a cross-region replica.
#
# A promotion cannot be undone: the replica becomes an instance of its own, and the old writer has to make place for a new replica. The
# tree's README has the commands. What made an instance what it was matters at creation only and is ignored afterwards, so that a plan
# never wants to undo a failover.

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.network.private_subnet_ids
}

resource "aws_security_group" "this" {
  name        = var.name
  description = "PostgreSQL of ${var.name}"
  vpc_id      = var.network.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.clients

  security_group_id = aws_security_group.this.id
  description       = "Clients in ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
}

# Parameters are not replicated, and a promoted replica brings its own group.
resource "aws_db_parameter_group" "this" {
  name   = var.name
  family = "postgres${split(".", var.engine_version)[0]}"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
}

resource "aws_db_instance" "this" {
  count = var.exists ? 1 : 0

  identifier          = var.name
  replicate_source_db = var.source_arn
  instance_class      = var.instance_class
  port                = var.port

  engine              = var.source_arn == null ? "postgres" : null
  engine_version      = var.source_arn == null ? var.engine_version : null
  db_name             = var.source_arn == null ? var.database : null
  username            = var.source_arn == null ? "lifeboat_admin" : null
  password_wo         = var.source_arn == null ? var.master_password : null
  password_wo_version = var.source_arn == null ? 1 : null
  allocated_storage   = var.source_arn == null ? var.storage_gib : null

  storage_type          = "gp3"
  max_allocated_storage = var.storage_gib * 2
  storage_encrypted     = true
  kms_key_id            = var.kms_key_arn

  multi_az                            = true
  publicly_accessible                 = false
  db_subnet_group_name                = aws_db_subnet_group.this.name
  vpc_security_group_ids              = [aws_security_group.this.id]
  parameter_group_name                = aws_db_parameter_group.this.name
  iam_database_authentication_enabled = true

  # A replica needs backups too: without them its promotion is followed by a first full backup, and no new
  # replica can be made from it until that is done.
  backup_retention_period         = var.backup_days
  copy_tags_to_snapshot           = true
  deletion_protection             = true
  skip_final_snapshot             = true # of a replica none can be made, and who is one changes
  delete_automated_backups        = false
  auto_minor_version_upgrade      = false
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.kms_key_arn
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]

  tags = { "lifeboat:backup" = var.app }

  lifecycle {
    ignore_changes = [
      replicate_source_db,
      engine,
      engine_version,
      db_name,
      username,
      password_wo_version,
      allocated_storage,
    ]
  }

  depends_on = [var.after]
}

# Where backups are all that this region has of the writer elsewhere: its snapshots and its log, every five minutes.
resource "aws_db_instance_automated_backups_replication" "this" {
  count = var.backups_of == null ? 0 : 1

  source_db_instance_arn = var.backups_of
  kms_key_id             = var.kms_key_arn
  retention_period       = var.backup_days

  depends_on = [var.after]
}

# Without data, which is where the writer is, this is no breach: the alarm need not be turned round after a failover.
resource "aws_cloudwatch_metric_alarm" "lag" {
  count = var.exists ? 1 : 0

  alarm_name          = "${var.name}-replication-lag"
  alarm_description   = "A failover now could lose more than the objective allows."
  namespace           = "AWS/RDS"
  metric_name         = "ReplicaLag"
  dimensions          = { DBInstanceIdentifier = aws_db_instance.this[0].identifier }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.lag_alarm_seconds
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}
