# One region's cluster of an Aurora Global Database; or, where backups are all that other regions have, a cluster of its own.
#
# Who writes is state, not infrastructure: a failover moves it. So everything that differs between a writer and a
# secondary is given at creation only and ignored afterwards; a plan never wants to fail back, detach or replace.

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

# Every member has its own group: parameters are not replicated, and a promoted secondary brings its own.
# rds.global_db_rpo stays at its default: with two regions it would block the new writer after a failover.
resource "aws_rds_cluster_parameter_group" "this" {
  name   = var.name
  family = "aurora-postgresql${split(".", var.engine_version)[0]}"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
}

resource "aws_rds_cluster" "this" {
  count = var.exists ? 1 : 0

  cluster_identifier        = var.name
  global_cluster_identifier = var.global_cluster
  engine                    = "aurora-postgresql"
  engine_version            = var.engine_version
  port                      = var.port

  database_name              = var.created_as_writer ? var.database : null
  master_username            = var.created_as_writer ? "lifeboat_admin" : null
  master_password_wo         = var.created_as_writer ? var.master_password : null
  master_password_wo_version = var.created_as_writer ? 1 : null

  db_subnet_group_name                = aws_db_subnet_group.this.name
  vpc_security_group_ids              = [aws_security_group.this.id]
  db_cluster_parameter_group_name     = aws_rds_cluster_parameter_group.this.name
  iam_database_authentication_enabled = true
  enable_global_write_forwarding      = var.write_forwarding

  storage_encrypted = true
  kms_key_id        = var.kms_key_arn

  backup_retention_period         = var.backup_days
  copy_tags_to_snapshot           = true
  deletion_protection             = true
  skip_final_snapshot             = true # of a replica none can be made, and who is one changes
  delete_automated_backups        = false
  enabled_cloudwatch_logs_exports = ["postgresql"]

  tags = merge({ "lifeboat:backup" = var.app }, var.hourly_copies ? { "lifeboat:copies" = var.app } : {})

  lifecycle {
    ignore_changes = [
      global_cluster_identifier, # reads as null while a failover rebuilds this member; null would mean: detach
      replication_source_identifier,
      source_region,
      database_name,
      master_username,
      master_password_wo_version,
      engine_version, # upgraded through the global cluster, all members together
    ]
  }

  depends_on = [var.after]
}

resource "aws_rds_cluster_instance" "this" {
  count = var.exists ? var.instances : 0

  identifier         = "${var.name}-${count.index + 1}"
  cluster_identifier = aws_rds_cluster.this[0].id
  engine             = aws_rds_cluster.this[0].engine
  instance_class     = var.instance_class

  auto_minor_version_upgrade      = false # members of different minor versions cannot switch over
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.kms_key_arn
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn

  lifecycle {
    ignore_changes = [engine_version]
  }
}

resource "aws_iam_role" "monitoring" {
  name = "${var.name}-monitoring"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

# The metric is reported by whichever member is a secondary; the same alarm stands in every region, and where the
# writer is there are no data, which is not a breach. So nothing has to be turned round after a failover.
resource "aws_cloudwatch_metric_alarm" "lag" {
  count = var.exists ? 1 : 0

  alarm_name          = "${var.name}-replication-lag"
  alarm_description   = "A failover now could lose more than the objective allows."
  namespace           = "AWS/RDS"
  metric_name         = "AuroraGlobalDBReplicationLag"
  dimensions          = { DBClusterIdentifier = aws_rds_cluster.this[0].cluster_identifier }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.lag_alarm_milliseconds
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}
